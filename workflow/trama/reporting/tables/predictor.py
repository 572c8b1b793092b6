"""Accuracy of the class predictors at the end of training."""

import pandas as pd

from trama.config.params import TableParams
from trama.reporting import statistics
from trama.reporting.statistics import Inputs
from trama.reporting.tables.table import Table, seed_rows


def predictor(inputs: Inputs, params: TableParams, problem: str) -> Table:
    """Return the table of the class predictors on a problem.

    Args:
        inputs: `histories` of each seed of the variants that have a predictor.
        params: of the table.
        problem: its name.

    Raises:
        TramaError: a history is missing, broken or holds no accuracy.
    """
    histories = statistics.by_name_and_seed(inputs["histories"])
    header = {
        "predictor_balanced_accuracy": "Balanced accuracy",
        "majority_rate": "Majority rate",
    }
    records = [
        [problem, name, seed, *(statistics.final_value(path, metric) for metric in header)]
        for name, seeds in histories.items()
        for seed, path in seeds.items()
    ]
    tidy = pd.DataFrame(records, columns=["problem", "variant", "seed", *header])
    return Table(
        title=f"{problem}: class predictor against the pseudo-labels (of an oracle: the true tasks)"
        " at the end of training",
        header=["Variant", "Seed", *header.values()],
        rows=seed_rows(tidy, "variant", header, params.tables.decimals),
        tidy=tidy,
        shown="metrics predictor_balanced_accuracy and majority_rate, at the last test",
    )
