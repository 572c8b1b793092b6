"""How many trajectories keep their label at each clustering during training."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from trama.config.figure_params import FigureParams
from trama.reporting import estimates, statistics, style, words
from trama.reporting.figures.drawing import Drawing
from trama.reporting.figures.parts import draw_curves, label_figure, variant_handles
from trama.reporting.statistics import Curve, Inputs

_DOTTED = (0, (1, 2))
_METRICS = ("label_consistency", "label_consistency_chance")


def label_consistency(inputs: Inputs, params: FigureParams, problem: str) -> Drawing:
    """Draw the label consistency of each variant that clusters during training.

    Args:
        inputs: `histories` of each variant and seed.
        params: of the figure.
        problem: its name.

    Raises:
        TramaError: a history is missing or broken.
    """
    histories = statistics.by_name_and_seed(inputs["histories"])
    seed, n_seeds = statistics.bootstrap_seed(params.study_seed), len(params.seeds)
    figure = Figure(figsize=(style.ONE_COLUMN, 2.6))
    axes = figure.subplots()
    looks = style.looks(params.names)
    numbers = {}
    rows = statistics.clusterings(histories, _METRICS)
    for variant, files in histories.items():
        kept, chance = (_curves(rows, variant, metric) for metric in _METRICS)
        numbers[variant] = "no accepted clustering"
        if not kept:
            continue
        if _overlap(kept):
            draw_curves(axes, kept, looks[variant], estimates.mean, seed)
            mean = statistics.mean_curve(chance)
            colour = looks[variant].colour
            axes.plot(mean.x, mean.y, color=colour, linewidth=0.9, linestyle=_DOTTED)
        else:
            for curve in kept:
                draw_curves(axes, [curve], looks[variant], estimates.mean, seed)
        numbers[variant] = _numbers(kept, chance, seed, len(files))
    axes.set_xlabel("Environment steps")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylabel("Label consistency")
    axes.set_ylim(0, 1.03)
    title = f"{problem}: label consistency"
    reference = Line2D(
        [], [], color=style.REFERENCE, linewidth=0.9, linestyle=_DOTTED, label="chance"
    )
    label_figure(figure, title, [*variant_handles(list(histories), looks), reference], n_seeds)
    shown = (
        "Thin lines are seeds"
        if n_seeds < estimates.MIN_SEEDS
        else "Lines: mean over the seeds; bands: its pointwise 95 % intervals"
    )
    return Drawing(
        figure,
        title=title,
        caption=[
            "Share of the trajectories in the replay buffer that keep their label when they are "
            f"clustered anew during training on {problem}, of {words.counted(n_seeds, 'seed')}, at "
            f"every accepted clustering. {shown}; dotted: the share if the new labels were dealt "
            "at random in the same numbers (chance), mean over the seeds. Numbers below: mean "
            "over the clusterings of a training, then over the seeds.",
            *(f"``{variant}``: {text}." for variant, text in numbers.items()),
            words.intervals(n_seeds),
        ],
        shown=f"metrics {' and '.join(_METRICS)}, at every clustering",
    )


def _curves(rows: pd.DataFrame, variant: str, metric: str) -> list[Curve]:
    """A metric of the clusterings of each run that has any, against env steps."""
    chosen = rows[(rows["variant"] == variant) & (rows["metric"] == metric)]
    return [
        Curve(run["env_steps"].to_numpy(), run["value"].to_numpy())
        for _, run in chosen.groupby("seed")
    ]


def _overlap(curves: Sequence[Curve]) -> bool:
    """Whether all curves are defined somewhere."""
    return max(curve.x[0] for curve in curves) <= min(curve.x[-1] for curve in curves)


def _numbers(kept: Sequence[Curve], chance: Sequence[Curve], seed: int, n_seeds: int) -> str:
    """Label consistency and chance over the clusterings of a run and over the seeds."""
    parts = []
    for name, curves in (("label consistency", kept), ("chance", chance)):
        values = np.array([[curve.y.mean()] for curve in curves])
        found = estimates.estimate(values, estimates.mean, seed)
        parts.append(f"{name} {words.estimate(found, values[:, 0])}")
    parts.append(f"{words.span([len(curve.x) for curve in kept])} clusterings per seed")
    if len(kept) < n_seeds:
        parts.append(f"of {words.counted(len(kept), 'seed')} that had any")
    return ", ".join(parts)
