"""What the parts of a training cost: their shares of its wall time. Not repeatable."""

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
    tidy = tidy[[*keys, "seed", "phase", "seconds", "share", "count"]]
    rows = []
    for run, of_run in tidy.groupby(keys, sort=False):
        shares = of_run.groupby("phase")["share"].sum() / len(params.seeds)
        rows.append(
            [
                *map(str, run),
                f"{of_run['seconds'].sum() / 60 / len(params.seeds):.1f}",
                *(f"{100 * shares[p]:.1f}" if p in shares else MISSING for p in _PARTS),
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
            "tests; checkpoints. n/a: the variant has no such part. Memory stands in the table of "
            "wall times: a job is one process. Nothing waits for a GPU to measure these times: "
            "what was started there counts where the host next waits for it, often in acting. "
            "These numbers differ from run to run; the machines stand in "
            f"``results/{study}/provenance`` and in the logs."
        ],
        header=["Problem", "Variant", "Minutes", *_PARTS.values()],
        align="ll" + "r" * (1 + len(_PARTS)),
        rows=rows,
        tidy=tidy,
        shown="all rows of timings",
    )


def _of_run(timing: Path) -> pd.DataFrame:
    """Seconds of the phases of a run, their counts, and their shares of the run."""
    rows: pd.DataFrame = read_table(timing, "timing").to_pandas()
    return rows.assign(share=rows["seconds"] / rows["seconds"].sum())
