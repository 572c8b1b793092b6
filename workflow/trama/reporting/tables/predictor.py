"""Accuracy of the class predictors at the end of training."""

from trama.config.table_params import TableParams
from trama.reporting import statistics, words
from trama.reporting.statistics import Inputs
from trama.reporting.tables.measured import Measured, interval_words, tidy
from trama.reporting.tables.table import Table

_METRICS = {
    "predictor_accuracy": "Accuracy",
    "predictor_balanced_accuracy": "Balanced accuracy",
    "majority_rate": "Majority rate",
}


def predictor(inputs: Inputs, params: TableParams, problem: str) -> Table:
    """Return the table of the class predictors on a problem.

    Args:
        inputs: `histories` of each seed of the variants that have a predictor.
        params: of the table.
        problem: its name.

    Raises:
        TramaError: a history is missing or broken.
    """
    histories = statistics.by_name_and_seed(inputs["histories"])
    measured = {
        metric: Measured(statistics.final_scores(histories, metric), params) for metric in _METRICS
    }
    return Table(
        title=f"{problem}: class predictors at the end of training",
        caption=[
            "Share of the agents' class predictions that agree with the trajectory's pseudo-label "
            f"(of an oracle: its true task) on {problem}, over the steps of the test episodes at "
            "the end of training; the mean of this share over the classes (balanced); and the "
            "share that naming the most frequent class alone would have (majority). Mean over "
            f"seeds. {interval_words(len(params.seeds))} Labels differ between variants, so that "
            "their accuracies are not compared.",
            *words.left_out([v for v in histories if v not in measured["majority_rate"].scores]),
        ],
        header=["Variant", *_METRICS.values()],
        align="l" + "r" * len(_METRICS),
        rows=[[v, *(measured[m].cell(v, "mean") for m in _METRICS)] for v in histories],
        tidy=tidy(
            [
                row
                for variant in histories
                for metric in _METRICS
                for row in measured[metric].rows(variant, variant=variant, metric=metric)
            ],
            problem=problem,
        ),
        shown=f"metrics {', '.join(_METRICS)} over all tasks and steps, at the last test",
    )
