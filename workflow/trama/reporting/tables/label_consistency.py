"""How many trajectories keep their label when they are clustered anew during training."""

from trama.config.table_params import TableParams
from trama.reporting import statistics, words
from trama.reporting.statistics import Inputs
from trama.reporting.tables.measured import Measured, interval_words, tidy
from trama.reporting.tables.table import Table
from trama.reporting.words import MISSING

_METRICS = {"label_consistency": "Label consistency", "label_consistency_chance": "Chance"}


def label_consistency(inputs: Inputs, params: TableParams, problem: str) -> Table:
    """Return the table of label consistency on a problem.

    Args:
        inputs: `histories` of each seed of the variants that cluster during training.
        params: of the table, with `initialisations`.
        problem: its name.

    Raises:
        TramaError: a history is missing or broken.
    """
    histories = statistics.by_name_and_seed(inputs["histories"])
    clusterings = statistics.clusterings(histories, list(_METRICS))
    measured = {}
    for metric in _METRICS:
        scores = statistics.clustering_scores(clusterings, metric, len(params.seeds))
        measured[metric] = Measured(scores, params)
    kept = clusterings[clusterings["metric"] == "label_consistency"]
    rows = []
    for variant, files in histories.items():
        own = kept[kept["variant"] == variant]["value"]
        rows.append(
            [
                variant,
                f"{len(own) / len(files):.1f}",
                *(measured[metric].cell(variant, "mean") for metric in _METRICS),
                MISSING if own.empty else f"{own.min():z.{params.tables.decimals}f}",
                words.STARTS[params.initialisations[variant]],
            ]
        )
    return Table(
        title=f"{problem}: label consistency",
        caption=[
            "Share of the trajectories in the replay buffer that keep their label when they are "
            f"clustered anew during training on {problem}: mean over the clusterings of a "
            "training and over seeds, the same if the new labels were dealt at random in the same "
            "numbers (chance), and the lowest of all clusterings. Clusterings: per seed, without "
            "those that were refused; n/a: a seed had none. Start: a clustering begins from the "
            "centroids of the one before, or anew; matched: each new class is then named after an "
            "old one, so that as many trajectories as possible keep their label. "
            f"{interval_words(len(params.seeds))}"
        ],
        header=["Variant", "Clusterings", *_METRICS.values(), "Lowest", "Start"],
        align="lrrrrl",
        rows=rows,
        tidy=tidy(
            [
                *(
                    row
                    for variant in histories
                    for metric in _METRICS
                    for row in measured[metric].rows(variant, variant=variant, metric=metric)
                ),
                *(
                    {str(key): value for key, value in row.items()} | {"statistic": "clustering"}
                    for row in clusterings.to_dict("records")
                ),
            ],
            problem=problem,
        ),
        shown=f"metrics {' and '.join(_METRICS)}, at every clustering",
    )
