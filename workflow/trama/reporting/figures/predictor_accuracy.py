"""Accuracy of the class predictor over the time steps of an episode."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trama.config.figure_params import FigureParams
from trama.reporting import estimates, statistics, style, words
from trama.reporting.figures.drawing import Drawing
from trama.reporting.figures.parts import draw_curves, label_figure, variant_handles
from trama.reporting.statistics import Inputs

_DOTTED = (0, (1, 2))
_FINAL = {
    "predictor_accuracy": "accuracy over all steps",
    "predictor_balanced_accuracy": "mean of the classes' accuracies",
    "majority_rate": "majority rate",
}


def predictor_accuracy(inputs: Inputs, params: FigureParams, problem: str) -> Drawing:
    """Draw the accuracy of each variant's class predictor on a problem.

    Args:
        inputs: `histories` of each seed of the variants that have a predictor.
        params: of the figure.
        problem: its name.

    Raises:
        TramaError: a history is missing or broken.
    """
    given = statistics.by_name_and_seed(inputs["histories"])
    finals = {metric: statistics.final_scores(given, metric) for metric in _FINAL}
    known = finals["predictor_accuracy"]
    histories = {variant: files for variant, files in given.items() if variant in known}
    seed, n_seeds = statistics.bootstrap_seed(params.study_seed), len(params.seeds)
    figure = Figure(figsize=(style.ONE_COLUMN, 2.6))
    axes = figure.subplots()
    looks = style.looks(params.names)
    numbers = {}
    for variant, by_seed in histories.items():
        files = [by_seed[s] for s in sorted(by_seed)]
        curves = [statistics.final_curve_within_episode(f, "predictor_accuracy") for f in files]
        last, of_seeds = draw_curves(axes, curves, looks[variant], estimates.mean, seed)
        parts = []
        for metric, name in _FINAL.items():
            values = finals[metric][variant]
            found = estimates.estimate(values, estimates.mean, seed)
            parts.append(f"{name} {words.estimate(found, values[:, 0])}")
        axes.axhline(
            float(values.mean()), color=looks[variant].colour, linewidth=0.9, linestyle=_DOTTED
        )
        end = min(curve.x[-1] for curve in curves)
        numbers[variant] = (
            f"{', '.join(parts)}, accuracy at step {end} {words.estimate(last, of_seeds)}"
        )
    axes.set_xlabel("Time step within the episode")
    axes.set_ylabel("Predictor accuracy")
    axes.set_ylim(0, 1.02)
    axes.margins(x=0.02)
    reference = Line2D(
        [], [], color=style.REFERENCE, linewidth=0.9, linestyle=_DOTTED, label="majority rate"
    )
    title = f"{problem}: accuracy of the class predictor"
    handles = [*variant_handles(list(histories), looks), reference]
    label_figure(figure, title, handles, n_seeds)
    shown = (
        "Thin lines are seeds"
        if n_seeds < estimates.MIN_SEEDS
        else ("Lines: mean over the seeds, bands: its pointwise 95 % intervals")
    )
    return Drawing(
        figure,
        title=title,
        caption=[
            "Share of the agents' class predictions that agree with the trajectory's pseudo-label "
            "(of an oracle: its true task), by time step within the episode, on "
            f"{problem}, as last measured in training, of {words.counted(n_seeds, 'seed')}. "
            f"{shown}; dotted: the accuracy of always naming the most frequent class (majority "
            "rate), mean over the seeds. Labels differ between variants, so that their accuracies "
            "do not compare.",
            *(f"``{variant}``, mean over seeds: {text}." for variant, text in numbers.items()),
            *words.left_out([variant for variant in given if variant not in known]),
            words.intervals(n_seeds),
        ],
        shown="metrics predictor_accuracy by time step and overall, predictor_balanced_accuracy "
        "and majority_rate, at the last test",
    )
