"""Mean, IQM, optimality gap and probability of improvement over all problems of a study."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trama.config.figure_params import FigureParams
from trama.config.problems import TRAINED
from trama.reporting import estimates, statistics, style, words
from trama.reporting.estimates import Estimate
from trama.reporting.figures.drawing import Drawing
from trama.reporting.figures.parts import draw_estimate, label_figure
from trama.reporting.statistics import Inputs

_STATISTICS = {
    "IQM": estimates.iqm,
    "Mean": estimates.mean,
    "Optimality gap": estimates.optimality_gap,
}
_IMPROVEMENT = "P(improvement)"


def aggregates(inputs: Inputs, params: FigureParams, study: str) -> Drawing:
    """Draw aggregates of the win rate over all problems and their tasks.

    Args:
        inputs: `episodes` of each problem, variant and seed.
        params: of the figure, with `reference`.
        study: its name.

    Raises:
        TramaError: an evaluation is missing, broken or lacks the policy, or they differ in tasks.
    """
    policy, n_seeds, reference = params.figures.policy, len(params.seeds), params.reference
    assert reference is not None
    seed = statistics.bootstrap_seed(params.study_seed)
    episodes = statistics.read_episodes(inputs["episodes"])
    of_wins = statistics.scores(episodes, policy, "win_rate")
    tasks, scores, problems = of_wins.tasks, of_wins.values, of_wins.problems
    found: dict[str, dict[str, Estimate]] = {
        title: {
            v: estimates.estimate(scores[v], statistic, seed, problems=problems)
            for v in params.names
        }
        for title, statistic in _STATISTICS.items()
    }
    others = [name for name in params.names if name != reference]
    if others:
        found[_IMPROVEMENT] = {
            v: estimates.probability_of_improvement(
                scores[v], scores[reference], seed, problems=problems
            )
            for v in others
        }

    looks = style.looks(params.names)
    figure = Figure(figsize=(style.TWO_COLUMNS, 1.1 + 0.2 * len(params.names)))
    panels = figure.subplots(1, len(found), sharey=True)
    for axes, (title, by_variant) in zip(panels, found.items(), strict=True):
        for variant, of_variant in by_variant.items():
            place = params.names.index(variant)
            draw_estimate(axes, place, of_variant, np.zeros(0), looks[variant], horizontal=True)
        axes.set_title(title)
        axes.set_xlabel("Win rate")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.margins(x=0.12)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(params.names)), params.names)
    panels[0].set_ylim(len(params.names) - 0.5, -0.5)
    if others:
        panels[-1].set_xlabel(f"over {reference}")
        panels[-1].axvline(0.5, color=style.REFERENCE, linewidth=0.8, linestyle="dashed")
        panels[-1].set_xlim(-0.05, 1.05)
        panels[-1].set_xticks([0, 0.5, 1])
    title = f"Study {study}: aggregates over all tasks"
    label_figure(figure, title, [], n_seeds)
    rows = statistics.of_sets(episodes, policy, TRAINED)
    improvement = (
        f" {_IMPROVEMENT}: probability that a run of a variant wins more than one of "
        f"``{reference}`` on a task (ties count half; 0.5: none is better)."
        if others
        else ""
    )
    ends = "" if n_seeds < estimates.MIN_SEEDS else "; lines: 95 % intervals"
    return Drawing(
        figure,
        title=title,
        caption=[
            f"Win rate over the {words.counted(len(tasks), 'task')} of "
            f"{words.literals(params.problems)}, greedy evaluation of the {policy} policies, of "
            f"{words.counted(n_seeds, 'seed')} and {words.episodes(rows)} per seed and task: "
            "interquartile mean (IQM), mean, and optimality gap (by how much runs fall short of a "
            f"win rate of 1 on average; lower is better) over seeds and tasks{ends}.{improvement}",
            *(
                f"{title}: {words.listed({v: words.estimate(e, []) for v, e in values.items()})}."
                for title, values in found.items()
            ),
            words.intervals(n_seeds, of_seeds=False, n_problems=len(params.problems)),
        ],
        shown=f"policy {policy}, task set {TRAINED}",
    )
