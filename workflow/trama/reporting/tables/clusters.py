"""Quality of the clusterings of the baseline's trajectories."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from trama.config.table_params import TableParams
from trama.reporting import statistics
from trama.reporting.statistics import Inputs
from trama.reporting.tables.table import Table
from trama.reporting.words import MISSING


def clusters(inputs: Inputs, params: TableParams, problem: str) -> Table:
    """Return the table of the clusterings on a problem.

    Args:
        inputs: `cluster_metrics` of each representation and seed.
        params: of the table.
        problem: its name.

    Raises:
        TramaError: a file is missing or broken.
    """
    cluster_metrics = statistics.by_name_and_seed(inputs["cluster_metrics"])
    header = {
        "ari": "ARI",
        "nmi": "NMI",
        "silhouette": "Silhouette",
        "codes_in_use": "Codes in use",
        "smallest_class_share": "Smallest class",
        "largest_class_share": "Largest class",
    }
    records = []
    for name, seeds in cluster_metrics.items():
        for seed, path in seeds.items():
            metrics = statistics.cluster_metrics(path)
            shares = statistics.class_shares(path)
            metrics |= {
                "smallest_class_share": min(shares),
                "largest_class_share": max(shares),
            }
            records.append([problem, name, seed, *(metrics.get(key, np.nan) for key in header)])
    tidy = pd.DataFrame(records, columns=["problem", "representation", "seed", *header])
    return Table(
        title=f"{problem}: clusters of the baseline's trajectories against the true tasks",
        caption=[
            f"Clusters of the baseline's trajectories on {problem} for each representation and "
            "seed: agreement with the true tasks (ARI, NMI), which no part of the method has seen, "
            "silhouette, codes in use, and the shares of the smallest and the largest class."
        ],
        header=["Representation", "Seed", *header.values()],
        align="ll" + "r" * len(header),
        rows=[
            [record["representation"], str(record["seed"]), *_cells(record, header, params)]
            for record in tidy.to_dict("records")
        ],
        tidy=tidy,
        shown="all metrics",
    )


def _cells(record: Mapping[Any, Any], metrics: Iterable[str], params: TableParams) -> Iterator[str]:
    """Format values; counts without decimals."""
    for metric in metrics:
        digits = 0 if metric == "codes_in_use" else params.tables.decimals
        value = record[metric]
        yield MISSING if np.isnan(value) else f"{value:z.{digits}f}"
