"""What the scripts of all rules share: the way to the library, threads, log, errors, provenance.

Snakemake puts this folder on the path of every script; PYTHONPATH would not do, as Snakemake
clears it for jobs in conda environments.
"""

import logging
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trama.errors import TramaError
from trama.runtime import configure_process

if TYPE_CHECKING:
    from trama.data.parquet import Provenance
    from trama.reporting.figures.drawing import Draw
    from trama.reporting.outputs import Outputs
    from trama.reporting.statistics import Inputs
    from trama.reporting.tables.table import Make

logger = logging.getLogger("trama")


@contextmanager
def stage(name: str, snakemake: Any) -> Iterator["Provenance"]:
    """Run the body as a job of that stage: with the rule's threads, log and provenance.

    The body imports what it needs by itself, since threads have to be settled first. A
    `TramaError` ends the process with its message alone, anything else with a traceback; the log
    has both.

    Args:
        name: stage, as in the config.
        snakemake: the object that Snakemake hands to a script.

    Yields:
        The provenance of the files that the body writes.
    """
    configure_process(snakemake.threads, Path(snakemake.log[0]))
    from trama.config.params import params_hash
    from trama.data.parquet import Provenance, code_version, environment_version

    logger.info("%s runs on %s with %d threads", name, platform.node(), snakemake.threads)
    leave_gpus_of_others()
    seed = snakemake.wildcards.get("seed")
    try:
        yield Provenance(
            study=snakemake.wildcards.study,
            stage=name,
            params_hash=params_hash(snakemake.params.settings),
            seed=None if seed is None else int(seed),
            code_version=code_version(),
            environment_version=environment_version(),
        )
    except TramaError as error:
        logger.error("%s", error)
        sys.exit(1)
    except Exception:
        logger.exception("%s failed", snakemake.rule)
        sys.exit(1)


def leave_gpus_of_others() -> None:
    """Hide the node's GPUs if SLURM gave this job none, since not every site confines its jobs.

    A CUDA_VISIBLE_DEVICES that is set stays: it comes from SLURM, for a share of a GPU, or from the
    user.
    """
    if "SLURM_JOB_ID" not in os.environ or "SLURM_GPUS_ON_NODE" in os.environ:
        return
    if os.environ.setdefault("CUDA_VISIBLE_DEVICES", "") == "":
        logger.info("SLURM gave this job no GPU, so it sees none")


def paths(files: Any, optional: Sequence[str] = ()) -> dict[str, Path | None]:
    """Named input or output files of a rule, by name; None for an optional one that is absent."""
    return dict.fromkeys(optional) | {name: Path(file) for name, file in files.items()}


def figure(draw: "Draw", snakemake: Any, provenance: "Provenance") -> None:
    """Draw the figure of a rule, of a problem or of the whole study, and write its files."""
    from trama.config.figure_params import FigureParams
    from trama.reporting.figures.drawing import make_figure

    params = FigureParams.model_validate(snakemake.params.settings)
    make_figure(draw, inputs(snakemake), params, of(snakemake), outputs(snakemake), provenance)


def table(make: "Make", snakemake: Any, provenance: "Provenance") -> None:
    """Make the table of a rule, of a problem or of the whole study, and write its files."""
    from trama.config.table_params import TableParams
    from trama.reporting.tables.table import make_table

    params = TableParams.model_validate(snakemake.params.settings)
    make_table(make, inputs(snakemake), params, of(snakemake), outputs(snakemake), provenance)


def inputs(snakemake: Any) -> "Inputs":
    """Input files of the rule of a figure or table, by their kind."""
    return {kind: list(map(Path, files)) for kind, files in snakemake.input.items()}


def of(snakemake: Any) -> str:
    """Name of the problem or experiment that a rule's figure or table is of, else of the study."""
    wildcards = snakemake.wildcards
    name: str = wildcards.get("problem") or wildcards.get("experiment") or wildcards.study
    return name


def outputs(snakemake: Any) -> "Outputs":
    """Output files of the rule of a figure or table."""
    from trama.reporting.outputs import Outputs

    files = snakemake.output
    return Outputs(list(map(Path, files.files)), Path(files.caption), Path(files.sources))
