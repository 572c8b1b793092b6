"""Whether policies notice tasks that they were not trained on.

A score of novelty is good where it is larger in episodes of such tasks than in those of the trained
ones, of the same run: the area under the ROC curve (AUROC) is the chance that it is. 0.5 is that of
a coin, and 1 a perfect detector's.
"""

from trama.config.problems import TRAINED
from trama.config.table_params import TableParams
from trama.reporting import statistics, words
from trama.reporting.detection import SCORES, detection, ood_groups
from trama.reporting.statistics import Inputs
from trama.reporting.tables.measured import Measured, interval_words, tidy
from trama.reporting.tables.table import Table


def novelty(inputs: Inputs, params: TableParams, problem: str) -> Table:
    """Return the table of how well policies with classes detect tasks they did not train on.

    Args:
        inputs: `episodes` of each seed of the variants with classes.
        params: of the table, with `task_sets`.
        problem: its name.

    Raises:
        TramaError: an evaluation is missing, broken or lacks the policy, or they differ in tasks.
    """
    policy = params.tables.policy
    episodes = statistics.read_episodes(inputs["episodes"])
    sets = statistics.played_sets(episodes, policy, params.task_sets)
    found = {score: detection(episodes, policy, score, sets) for score in SCORES}
    rows, records = [], []
    for group, tasks, changed in ood_groups(episodes, policy, sets):
        measured = {
            score: Measured({v: x[:, tasks] for v, x in values.items()}, params)
            for score, values in found.items()
        }
        for variant in params.names:
            cells = [of_score.cell(variant, "iqm") for of_score in measured.values()]
            rows.append([group, variant, str(len(tasks)), changed, *cells])
            keys = {"task_set": group, "variant": variant, "units_changed": changed}
            for score, of_score in measured.items():
                records += of_score.rows(variant, **keys, metric=f"{score}_auroc")
    n_episodes = words.episodes(statistics.of_sets(episodes, policy, (TRAINED, *sets)))
    return Table(
        title=f"{problem}: detection of tasks that were not trained on ({policy} policies)",
        caption=[
            f"How well the {policy} policies of {problem} with classes tell episodes of a task "
            "that was not trained on from those of the trained ones, from what their agents see: "
            "interquartile mean (IQM) over seeds and tasks of the area under the ROC curve, of "
            f"{n_episodes} per seed and task; 0.5 is chance, 1 is perfect. Confidence: 1 - the "
            "largest calibrated class probability. Energy: -logsumexp of the predictor's logits. "
            "Disagreement: Jensen-Shannon divergence of the agents' calibrated probabilities. "
            "Distance: Mahalanobis distance of the predictor's hidden state to the nearest class "
            "mean. Each is a mean over living agents and steps of an episode. Changed: units in "
            "which the team differs from the nearest trained one, missing ones too. "
            f"{interval_words(len(params.seeds))}"
        ],
        header=["Task set", "Variant", "Tasks", "Changed", *SCORES.values()],
        align="ll" + "r" * (2 + len(SCORES)),
        rows=rows,
        tidy=tidy(records, problem=problem, policy=policy),
        shown=f"policy {policy}, task sets {', '.join((TRAINED, *sets))}",
    )
