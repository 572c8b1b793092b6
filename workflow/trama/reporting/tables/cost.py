"""What the parts of a training cost: shares of its wall time, and memory. Not repeatable."""

from pathlib import Path

import pandas as pd

from trama.config.table_params import TableParams
from trama.data.parquet import read_table
from trama.reporting import statistics
from trama.reporting.statistics import Inputs
from trama.reporting.tables.table import Table
from trama.reporting.words import MISSING

_PARTS = {
    "environment": "Env",
    "play": "Acting",
    "update": "Agents",
    "predictor": "Predictor",
    "label": "Labels",
    "vqvae": "VQ-VAE",
    "cluster": "Clustering",
    "test": "Tests",
    "checkpoint": "Saving",
}
"""What the table calls the phases of a `timing` file."""

_MEMORIES = ["memory_mb", "gpu_memory_mb"]


def cost(inputs: Inputs, params: TableParams, study: str) -> Table:
    """Return the table of what the parts of a study's trainings cost.

    Args:
        inputs: `timings` of each problem, variant and seed.
        params: of the table.
        study: its name.

    Raises:
        TramaError: a file is missing or broken.
    """
    frames = [
        _of_run(timings[seed]).assign(problem=problem, variant=variant, seed=seed)
        for problem, variants in statistics.by_problem(inputs["timings"]).items()
        for variant, timings in variants.items()
        for seed in params.seeds
    ]
    tidy = pd.concat(frames, ignore_index=True)
    keys = ["problem", "variant"]
    tidy = tidy[[*keys, "seed", "phase", "seconds", "share", "count", *_MEMORIES]]
    rows = []
    for run, of_run in tidy.groupby(keys, sort=False):
        parts = dict(iter(of_run.groupby("phase")))
        rows.append(
            [
                *map(str, run),
                f"{of_run['seconds'].sum() / 60 / len(params.seeds):.1f}",
                *(
                    _cell(parts[part], len(params.seeds)) if part in parts else MISSING
                    for part in _PARTS
                ),
            ]
        )
    return Table(
        title=f"Study {study}: what the parts of a training cost",
        caption=[
            "Minutes of wall time of a training as it measured them, without its start, over all "
            "parts of a training that was interrupted, and the percentages that its parts took, "
            "mean over seeds: steps of the environments (env), compilation included; actions and "
            "classes of the agents, and the replay buffer; the updates of agents and mixer, "
            "without the class predictor; the loss and the gradient of the predictor; classes of "
            "new episodes; updates of the VQ-VAE; re-clusterings, with the classifier's training; "
            "tests; checkpoints. In brackets: the most memory, in MB, that a call of the part took "
            "beyond what the process held (the libraries that its first call loads included), of "
            "the first 16 calls and then those of a power of two, largest of any seed; with a GPU, "
            "that of its tensors there after a slash; memory of whole jobs stands in the table of "
            "wall times. n/a: the variant has no such part. Nothing waits for a GPU to measure "
            "these times: what was started there counts where the host next waits for it, often in "
            "acting. "
            "These numbers differ from run to run; the machines stand in "
            f"``results/{study}/provenance`` and in the logs."
        ],
        header=["Problem", "Variant", "Minutes", *_PARTS.values()],
        align="ll" + "r" * (1 + len(_PARTS)),
        rows=rows,
        tidy=tidy,
        shown="all rows of timings",
    )


def _cell(part: pd.DataFrame, n_seeds: int) -> str:
    """A part's share of the time, and its memory as far as that was measured."""
    known = " / ".join(f"{most:.0f}" for most in part[_MEMORIES].max().dropna())
    return f"{100 * part['share'].sum() / n_seeds:.1f}" + (f" ({known})" if known else "")


def _of_run(timing: Path) -> pd.DataFrame:
    """Seconds, count and memory of the phases of a run, and their shares of its time."""
    rows: pd.DataFrame = read_table(timing, "timing").to_pandas()
    return rows.assign(share=rows["seconds"] / rows["seconds"].sum())
