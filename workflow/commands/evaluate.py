"""Play greedy episodes of a trained policy on tasks, and print what comes of it."""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from command import THREADS, one_message
from trama.config.model import Evaluate
from trama.errors import TramaError
from trama.runtime import configure_process

NOTES = """\
class k: share of the episodes in which agents predicted k most often
entropy of the predicted distributions, from 0 (certain) to 1; agreement: share of the living agents
    with the most frequent class of their step
swap: change of the action values when all classes are replaced by others, over the values' standard
    deviation; actions: share of the greedy actions that this changes
distance of the trajectory to the nearest centroid, over the mean one of the clustered trajectories
"""


def main() -> None:
    """Print a table, one row per task."""
    default = Evaluate().episodes
    options = ArgumentParser(description=__doc__)
    options.add_argument("model", type=Path, help="file of a trained policy")
    options.add_argument("--episodes", type=int, default=default, help="per task (%(default)s)")
    options.add_argument("--units", nargs="+", help="unit combinations, else those it trained on")
    options.add_argument("--starts", nargs="+", help="start positions, else those it trained from")
    options.add_argument(
        "--scenarios", nargs="+", help="particle scenarios, else those of training"
    )
    chosen = options.parse_args()
    configure_process(THREADS)
    with one_message():
        _evaluate(chosen.model, chosen.episodes, chosen.units, chosen.starts, chosen.scenarios)


def _evaluate(
    path: Path,
    n_episodes: int,
    units: Sequence[str] | None,
    starts: Sequence[str] | None,
    scenarios: Sequence[str] | None = None,
) -> None:
    # Threads have to be settled before these are imported.
    from trama.environments import make_env
    from trama.learning.model import TrainedModel
    from trama.runtime import torch_device
    from trama.stages.evaluate import measure, play
    from trama.tasks import tasks_named

    device = torch_device("cpu")
    model = TrainedModel.load(path, device)
    if n_episodes < 1:
        raise TramaError(f"episodes: {n_episodes} must be at least 1.")
    tasks = tasks_named(model.problem, units, starts, scenarios)
    # What cannot be played ends in an error before the first row.
    make_env(model.problem, model.env, 1, THREADS, tasks).close()
    n_classes = model.policy.sizes.n_classes or 0
    print(
        f"{model.variant_name} on {model.problem_name}, seed {model.seed}: {n_episodes} greedy "
        "episodes per task"
    )
    names = ["win rate", "return", "length", *(f"class {k}" for k in range(n_classes))]
    names += ["entropy", "agreement", "swap", "actions", "distance"]
    width = max(len(task.name) for task in tasks)
    print(_line("task", names, width))
    for task in tasks:
        played = play(model, task, n_episodes, model.env, THREADS, device)
        print(_line(task.name, _cells(measure(model, task, played), n_classes), width), flush=True)
    if n_classes:
        print(NOTES, end="")


def _cells(columns: Mapping[str, Any], n_classes: int) -> list[str]:
    """Cells of a row from columns of `episodes`: means, and the shares of the classes."""
    shares = [[value == number for value in columns["class"]] for number in range(n_classes)]
    first = [columns[name] for name in ("won", "episode_return", "length")]
    last = [
        columns[name]
        for name in ("entropy", "agreement", "swap_effect", "swap_actions", "centroid_distance")
    ]
    means = (None if c[0] is None else fmean(c) for c in [*first, *shares, *last])
    return ["-" if mean is None else f"{mean:.2f}" for mean in means]


def _line(name: str, cells: Sequence[str], width: int) -> str:
    return f"{name:<{width}}" + "".join(f"{cell:>11}" for cell in cells)


if __name__ == "__main__":
    main()
