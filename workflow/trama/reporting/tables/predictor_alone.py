"""Accuracy of the class predictor alone, without any policy."""

import numpy as np

from trama.config.table_params import TableParams
from trama.reporting import statistics
from trama.reporting.statistics import Inputs
from trama.reporting.tables.measured import Measured, interval_words, tidy
from trama.reporting.tables.table import Table

_METRICS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "majority_rate": "Majority rate",
    "first_accuracy": "At the first step",
    "trained_accuracy": "As trained",
}


def predictor_alone(inputs: Inputs, params: TableParams, problem: str) -> Table:
    """Return the table of the predictor alone on a problem.

    Args:
        inputs: `accuracies` of each seed of the representations.
        params: of the table.
        problem: its name.

    Raises:
        TramaError: a file is missing, broken or holds no such accuracy.
    """
    series = statistics.predictors_alone(inputs["accuracies"])
    scores: dict[str, dict[str, np.ndarray]] = {metric: {} for metric in _METRICS}
    for name, (files, labels) in series.items():
        for metric in ("accuracy", "balanced_accuracy", "majority_rate"):
            scores[metric][name] = statistics.predictor_alone_scores(files, labels, metric)
        scores["trained_accuracy"][name] = statistics.predictor_alone_scores(
            files, labels, "accuracy", "trained"
        )
        held_out = [statistics.predictor_alone(files[seed], labels) for seed in sorted(files)]
        first = [[rows["accuracy"][rows["step"] == 0].item()] for rows in held_out]
        scores["first_accuracy"][name] = np.array(first)
    measured = {metric: Measured(of_metric, params) for metric, of_metric in scores.items()}
    return Table(
        title=f"{problem}: the class predictor alone",
        caption=[
            "Share of the agents' predictions that are right where the class predictor alone is "
            f"trained on collected trajectories of {problem}, over all steps of those that were "
            "held out; the mean of this share over the labels (balanced); the share that naming "
            "the most frequent label alone would have (majority); the accuracy at the first step; "
            "and that on the trajectories that it was trained on. On true tasks it is an upper "
            "bound of what agents can know of them from what they see. Mean over seeds. "
            f"{interval_words(len(params.seeds))}"
        ],
        header=["Labels", *_METRICS.values()],
        align="l" + "r" * len(_METRICS),
        rows=[[name, *(measured[m].cell(name, "mean") for m in _METRICS)] for name in series],
        tidy=tidy(
            [
                row
                for name in series
                for metric in _METRICS
                for row in measured[metric].rows(name, labels=name, metric=metric)
            ],
            problem=problem,
        ),
        shown="all steps together, of both splits; the first step of the held-out trajectories",
    )
