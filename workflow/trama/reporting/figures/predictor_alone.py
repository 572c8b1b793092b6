"""Accuracy of the class predictor alone over the time steps of a trajectory, without any policy."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trama.config.figure_params import FigureParams
from trama.reporting import estimates, statistics, style, words
from trama.reporting.figures.drawing import Drawing
from trama.reporting.figures.parts import draw_curves, label_figure, variant_handles
from trama.reporting.statistics import Curve, Inputs

_DOTTED = (0, (1, 2))
_OVERALL = {
    "accuracy": "accuracy over all steps",
    "balanced_accuracy": "mean of the labels' accuracies",
    "majority_rate": "majority rate",
}


def predictor_alone(inputs: Inputs, params: FigureParams, problem: str) -> Drawing:
    """Draw the accuracy of the predictor alone on true tasks, and on the clusters of each kind.

    Args:
        inputs: `accuracies` of each seed of the representations.
        params: of the figure.
        problem: its name.

    Raises:
        TramaError: a file is missing, broken or holds no such accuracy.
    """
    series = statistics.predictors_alone(inputs["accuracies"])
    seed, n_seeds = statistics.bootstrap_seed(params.study_seed), len(params.seeds)
    figure = Figure(figsize=(style.ONE_COLUMN, 2.6))
    axes = figure.subplots()
    looks = style.looks(list(series))
    numbers = {}
    for name, (files, labels) in series.items():
        found = [statistics.predictor_alone(files[s], labels) for s in sorted(files)]
        by_step = [rows[rows["step"].notna()] for rows in found]
        accuracy, majority = (
            [Curve(rows["step"].to_numpy(int), rows[column].to_numpy()) for rows in by_step]
            for column in ("accuracy", "majority_rate")
        )
        last, of_seeds = draw_curves(axes, accuracy, looks[name], estimates.mean, seed)
        mean = statistics.mean_curve(majority)
        axes.plot(mean.x, mean.y, color=looks[name].colour, linewidth=0.9, linestyle=_DOTTED)
        parts = []
        for column, meaning in _OVERALL.items():
            values = statistics.predictor_alone_scores(files, labels, column)
            estimate = estimates.estimate(values, estimates.mean, seed)
            parts.append(f"{meaning} {words.estimate(estimate, values[:, 0])}")
        end = min(curve.x[-1] for curve in accuracy)
        numbers[name] = (
            f"{', '.join(parts)}, accuracy at step {end} {words.estimate(last, of_seeds)}"
        )
    axes.set_xlabel("Time step within the trajectory")
    axes.set_ylabel("Predictor accuracy")
    axes.set_ylim(0, 1.02)
    axes.margins(x=0.02)
    reference = Line2D(
        [], [], color=style.REFERENCE, linewidth=0.9, linestyle=_DOTTED, label="majority rate"
    )
    title = f"{problem}: the class predictor alone"
    label_figure(figure, title, [*variant_handles(list(series), looks), reference], n_seeds)
    shown = (
        "Thin lines are seeds"
        if n_seeds < estimates.MIN_SEEDS
        else "Lines: mean over the seeds, bands: its pointwise 95 % intervals"
    )
    return Drawing(
        figure,
        title=title,
        caption=[
            "Share of the agents that name the label of a trajectory from what they have seen so "
            f"far, by time step, on {problem}, of {words.counted(n_seeds, 'seed')}: the class "
            "predictor alone, trained on collected trajectories, and measured on such that were "
            "held out. On true tasks it is an upper bound of what agents can know of them; "
            "clusters are those of the representation that is named, and agree with the tasks as "
            f"far as the clustering does. {shown}; dotted: the accuracy of always naming the most "
            "frequent label of the trajectories that run at the step (majority rate), mean over "
            "the seeds.",
            *(f"{name}, mean over seeds: {text}." for name, text in numbers.items()),
            words.intervals(n_seeds),
        ],
        shown="accuracy and majority_rate by time step and overall, balanced_accuracy overall, of "
        "the held-out trajectories",
    )
