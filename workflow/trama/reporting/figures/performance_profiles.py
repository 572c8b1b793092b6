"""Share of runs above each win rate, over all problems of a study."""

import numpy as np
from matplotlib.figure import Figure

from trama.config.figure_params import FigureParams
from trama.config.problems import TRAINED
from trama.reporting import estimates, statistics, style, words
from trama.reporting.figures.drawing import Drawing
from trama.reporting.figures.parts import draw_band, label_figure, variant_handles
from trama.reporting.statistics import Curve, Inputs

_THRESHOLDS = np.linspace(0, 1, 101)
_TOLD = (0.25, 0.5, 0.75)


def performance_profiles(inputs: Inputs, params: FigureParams, study: str) -> Drawing:
    """Draw the performance profile of each variant over all problems and their tasks.

    Args:
        inputs: `episodes` of each problem, variant and seed.
        params: of the figure.
        study: its name.

    Raises:
        TramaError: an evaluation is missing, broken or lacks the policy, or they differ in tasks.
    """
    policy, n_seeds = params.figures.policy, len(params.seeds)
    seed = statistics.bootstrap_seed(params.study_seed)
    episodes = statistics.read_episodes(inputs["episodes"])
    of_wins = statistics.scores(episodes, policy, "win_rate")
    tasks, scores, problems = of_wins.tasks, of_wins.values, of_wins.problems
    looks = style.looks(params.names)
    figure = Figure(figsize=(style.ONE_COLUMN, 2.7))
    axes = figure.subplots()
    numbers: dict[float, dict[str, str]] = {threshold: {} for threshold in _TOLD}
    for variant in params.names:
        profile = estimates.performance_profile(
            scores[variant], _THRESHOLDS, seed, problems=problems
        )
        draw_band(
            axes,
            Curve(profile.thresholds, profile.share),
            profile.low,
            profile.high,
            looks[variant],
        )
        for threshold in _TOLD:
            above = (scores[variant] > threshold).astype(np.float64)
            share = estimates.estimate(above, estimates.mean, seed, problems=problems)
            numbers[threshold][variant] = words.estimate(share, [])
    axes.set_xlabel("Win rate τ")
    axes.set_ylabel("Share of runs above τ")
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.02, 1.02)
    title = f"Study {study}: performance profiles"
    label_figure(figure, title, variant_handles(params.names, looks), n_seeds)
    rows = statistics.of_sets(episodes, policy, TRAINED)
    bands = "" if n_seeds < estimates.MIN_SEEDS else " Bands: pointwise 95 % intervals."
    return Drawing(
        figure,
        title=title,
        caption=[
            f"Performance profiles over the {words.counted(len(tasks), 'task')} of "
            f"{words.literals(params.problems)}: share of runs (a seed on a task) of each variant "
            f"whose win rate lies above τ; greedy evaluation of the {policy} policies, of "
            f"{words.counted(n_seeds, 'seed')} and {words.episodes(rows)} per seed and task. A "
            f"profile above another everywhere is the better one.{bands}",
            *(
                f"Share of runs with a win rate above {threshold}: {words.listed(values)}."
                for threshold, values in numbers.items()
            ),
            words.intervals(n_seeds, of_seeds=False, n_problems=len(params.problems)),
        ],
        shown=f"policy {policy}, task set {TRAINED}",
    )
