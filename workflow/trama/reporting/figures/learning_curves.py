"""Test win rate and test return against env steps."""

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from trama.config.params import FigureParams
from trama.reporting import statistics, style
from trama.reporting.figures.drawing import Drawing, Inputs
from trama.reporting.figures.parts import draw_seeds, label_curves

_METRICS = {"test_win_rate": "Test win rate", "test_return": "Test return"}


def learning_curves(inputs: Inputs, params: FigureParams, problem: str) -> Drawing:
    """Draw the learning curves of all variants on a problem.

    Args:
        inputs: `histories` of each variant and seed.
        params: `names` are all variants of the study.
        problem: its name.

    Raises:
        TramaError: a history is missing, broken or holds no test.
    """
    histories = statistics.by_name_and_seed(inputs["histories"])
    smoothing = params.figures.smoothing
    figure = Figure(figsize=(style.TWO_COLUMNS, 2.55))
    looks = style.looks(params.names)
    for axes, (metric, label) in zip(figure.subplots(1, 2), _METRICS.items(), strict=True):
        for variant, seeds in histories.items():
            curves = [
                statistics.running_mean(statistics.learning_curve(path, metric), smoothing)
                for path in seeds.values()
            ]
            draw_seeds(axes, curves, looks[variant], variant)
        axes.set_xlabel("Environment steps")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_ylabel(label + (f" (mean of {smoothing} tests)" if smoothing > 1 else ""))
        axes.margins(x=0.02)
        if metric == "test_win_rate":
            axes.set_ylim(0, 1)
    label_curves(figure, problem, histories, [])
    return Drawing(
        figure,
        title=f"{problem}: learning curves",
        caption=[
            f"Test win rate and test return of every variant on {problem} against the environment "
            "steps played. Thin lines are seeds, thick lines their mean; test episodes are greedy. "
            "The steps of the data that a variant started from are counted."
        ],
        shown="metrics test_win_rate and test_return over all tasks, at every test",
    )
