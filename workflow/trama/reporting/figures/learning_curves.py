"""Test win rate and test return against env steps."""

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from trama.config.figure_params import FigureParams
from trama.reporting import estimates, statistics, style, words
from trama.reporting.figures.drawing import Drawing
from trama.reporting.figures.parts import draw_curves, label_figure, variant_handles
from trama.reporting.statistics import Inputs

_METRICS = {"test_win_rate": "Test win rate", "test_return": "Test return"}


def learning_curves(inputs: Inputs, params: FigureParams, problem: str) -> Drawing:
    """Draw the learning curves of all variants on a problem.

    Args:
        inputs: `histories` of each variant and seed.
        params: of the figure, with `test_episodes`.
        problem: its name.

    Raises:
        TramaError: a history is missing, broken or holds no test.
    """
    histories = statistics.by_name_and_seed(inputs["histories"])
    seed, n_seeds = statistics.bootstrap_seed(params.study_seed), len(params.seeds)
    smoothing = params.figures.smoothing
    smoothed = f" (mean of {smoothing} tests)" if smoothing > 1 else ""
    figure = Figure(figsize=(style.TWO_COLUMNS, 2.55))
    looks = style.looks(params.names)
    last: dict[str, dict[str, str]] = {metric: {} for metric in _METRICS}
    for axes, (metric, label) in zip(figure.subplots(1, 2), _METRICS.items(), strict=True):
        for variant, files in histories.items():
            curves = [
                statistics.running_mean(statistics.learning_curve(files[s], metric), smoothing)
                for s in sorted(files)
            ]
            found = draw_curves(axes, curves, looks[variant], estimates.iqm, seed)
            last[metric][variant] = words.estimate(*found)
        axes.set_xlabel("Environment steps")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_ylabel(label + smoothed)
        axes.margins(x=0.02)
        if metric == "test_win_rate":
            axes.set_ylim(0, 1)
    title = f"{problem}: learning curves"
    label_figure(figure, title, variant_handles(params.names, looks), n_seeds)
    shown = (
        "Thin lines are seeds."
        if n_seeds < estimates.MIN_SEEDS
        else "Lines: interquartile mean (IQM) over the seeds; bands: its pointwise 95 % intervals."
    )
    return Drawing(
        figure,
        title=title,
        caption=[
            f"Test win rate and test return of every variant on {problem} against the environment "
            f"steps played, of {words.counted(n_seeds, 'seed')} and "
            f"{words.span([*params.test_episodes.values()])} greedy episodes per test"
            f"{f', as running mean of {smoothing} tests' if smoothing > 1 else ''}. {shown} The "
            "steps of the data that a variant started from are counted.",
            *(
                f"{_METRICS[metric]} at the last test, IQM over seeds: {words.listed(values)}."
                for metric, values in last.items()
            ),
            words.intervals(n_seeds),
        ],
        shown="metrics test_win_rate and test_return over all tasks, at every test",
    )
