"""What the jobs took: wall time, speed, updates, phases and memory. Not repeatable."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from trama.config.table_params import TableParams
from trama.data.parquet import read_table
from trama.data.schemas import PHASES, PHASES_OF_CLASSES
from trama.reporting.statistics import Inputs
from trama.reporting.tables.table import Table
from trama.reporting.words import MISSING

_STAGES = {"vqvae_histories": "pretrain", "cluster_metrics": "cluster", "episodes": "evaluate"}
"""Stages that write no wall times, by the kind of a file of theirs."""

_ORDER = ("collect", "pretrain", "cluster", "train", "evaluate")

_PHASES = {
    **{phase: phase for phase in PHASES},
    "environment": "play",
    **dict.fromkeys(PHASES_OF_CLASSES, "classes"),
}
"""What the table calls the phases of a `timing` file."""


class _Column(NamedTuple):
    """A column of the table: its title, the unit of its values, and their decimals."""

    title: str
    unit: float
    decimals: int


_COLUMNS = {
    "wall_seconds": _Column("Minutes", 60, 1),
    "env_steps_per_second": _Column("Steps/s", 1, 0),
    "updates": _Column("Updates", 1, 0),
    **{
        f"{phase}_share": _Column(f"{phase.capitalize()} %", 0.01, 0)
        for phase in ("play", "update", "classes", "test")
    },
    "max_rss_mb": _Column("MB", 1, 0),
}


def compute(inputs: Inputs, params: TableParams, study: str) -> Table:
    """Return the table of what the jobs of a study took.

    The benchmark files that Snakemake wrote lie beside the results. They are no inputs, since a
    study may have lost them.

    Args:
        inputs: `collect_timings`, `collect_histories`, `train_timings` and `train_histories`; and
            of each job of pretrain, cluster and evaluate a file, which is not read:
            `vqvae_histories`, `cluster_metrics`, `episodes`.
        params: of the table.
        study: its name.

    Raises:
        TramaError: a file is missing or broken.
    """
    jobs = [
        _learning(timing, history, stage)
        for stage in ("collect", "train")
        for timing, history in zip(
            inputs[f"{stage}_timings"], inputs[f"{stage}_histories"], strict=True
        )
    ]
    jobs += [_job(file, stage) for kind, stage in _STAGES.items() for file in inputs.get(kind, ())]
    problems = list(dict.fromkeys(job["problem"] for job in jobs))
    jobs.sort(key=lambda job: (problems.index(job["problem"]), _ORDER.index(job["stage"])))
    frame = pd.DataFrame(jobs)
    keys = ["problem", "stage", "name"]
    means = frame.groupby(keys, sort=False).mean()
    means["max_rss_mb"] = frame.groupby(keys, sort=False)["max_rss_mb"].max()
    rows = []
    for values in means.reset_index().to_dict("records"):
        cells = [
            MISSING if pd.isna(values[name]) else f"{values[name] / unit:,.{decimals}f}"
            for name, (_, unit, decimals) in _COLUMNS.items()
        ]
        rows.append([*(values[key] for key in keys), *cells])
    hours = frame["wall_seconds"].sum() / 3600
    return Table(
        title=f"Study {study}: wall time and memory",
        caption=[
            "What a job took, mean over seeds: minutes of wall time, env steps per second, learner "
            "updates, and the largest memory of any seed. Wall time of collect and train as they "
            "measured it, without their start, over all parts of a training that was "
            "interrupted; its shares are those of playing, of the learner, of what only classes "
            "have (predictor, labels, clusters, VQ-VAE), and of tests. Memory, and the time of the "
            "other stages, from Snakemake's benchmark files (n/a without one). All of these jobs "
            f"together took {hours:.1f} hours. These numbers differ from run to run; the machines "
            f"stand in ``results/{study}/provenance`` and in the logs."
        ],
        header=["Problem", "Stage", "Name", *(column.title for column in _COLUMNS.values())],
        align="lll" + "r" * len(_COLUMNS),
        rows=rows,
        tidy=frame.melt([*keys, "seed"], var_name="metric").dropna(subset="value"),
        shown="all rows of timings; the last env_steps and update of histories",
    )


def _learning(timing: Path, history: Path, stage: str) -> dict[str, Any]:
    """What a job of collect or train took."""
    phases = read_table(timing, "timing").to_pandas().groupby("phase")["seconds"].sum()
    wall = phases.sum()
    rows: pd.DataFrame = read_table(history, "history").to_pandas()
    # A training tests before its first step, and so tells where its steps start.
    env_steps = rows["env_steps"].max() - (rows["env_steps"].min() if stage == "train" else 0)
    shares = phases.groupby(lambda phase: _PHASES[phase]).sum() / wall
    return {
        **_job(timing, stage),
        "wall_seconds": wall,
        "env_steps": env_steps,
        "env_steps_per_second": env_steps / wall,
        "updates": rows["update"].max(),
        **{f"{phase}_seconds": seconds for phase, seconds in phases.items()},
        **{f"{phase}_share": share for phase, share in shares.items()},
    }


def _job(file: Path, stage: str) -> dict[str, Any]:
    """Which job wrote a file, and what its benchmark file says, if there is one."""
    seed = file.parent
    name = "" if stage == "collect" else seed.parent.name
    problem = seed.parents[1 if stage == "collect" else 2]
    job = {
        "problem": problem.name,
        "stage": stage,
        "name": name,
        "seed": int(seed.name.removeprefix("seed_")),
    }
    below = Path(problem.name, name, f"{seed.name}.tsv")
    found = [*problem.parent.glob(f"benchmarks/{stage}_*/{below}")]
    if not found:
        return job | {"wall_seconds": None, "max_rss_mb": None}
    benchmark = pd.read_csv(found[0], sep="\t", na_values="-").iloc[-1]
    return job | {"wall_seconds": benchmark["s"], "max_rss_mb": benchmark["max_rss"]}
