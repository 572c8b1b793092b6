"""Play an episode of a trained policy, and draw it as an animated GIF and as a contact sheet."""

from argparse import ArgumentParser
from pathlib import Path

from command import THREADS, one_message
from trama.errors import TramaError
from trama.runtime import configure_process


def main() -> None:
    """Write both pictures, and print how the episode ended."""
    options = ArgumentParser(description=__doc__)
    options.add_argument("model", type=Path, help="file of a trained policy")
    options.add_argument("--task", help="name of a task, as '3s2z surrounded'; else its first one")
    options.add_argument("--seed", type=int, help="of the episode; else that of the evaluation")
    options.add_argument("--output", type=Path, help="GIF to write; else beside the policy")
    chosen = options.parse_args()
    configure_process(THREADS)
    with one_message():
        _replay(chosen.model, chosen.task, chosen.seed, chosen.output)


def _replay(path: Path, name: str | None, seed: int | None, output: Path | None) -> None:
    # Threads have to be settled before these are imported.
    from trama.learning.diagnosis import log_probabilities
    from trama.learning.model import TrainedModel
    from trama.reporting.replay import Episode, write_contact_sheet, write_gif
    from trama.runtime import torch_device
    from trama.stages.evaluate import play
    from trama.tasks import task_named, tasks_of

    device = torch_device("cpu")
    model = TrainedModel.load(path, device)
    task = tasks_of(model.problem)[0] if name is None else task_named(model.problem, name)
    if seed is not None and not 0 <= seed < 2**63:
        raise TramaError(f"seed: {seed} must be a whole number from 0 to 2**63 - 1.")
    gif = output or path.with_name(f"{path.stem}_{task.name.replace(' ', '_')}.gif")
    if gif.suffix != ".gif":
        raise TramaError(f"{gif}: an animation is written as GIF: let its name end in .gif.")
    sheet = gif.with_suffix(".png")

    played = play(model, task, 1, model.env, THREADS, device, seed, replays=gif.with_suffix(""))
    probabilities = None
    if model.policy.predictor is not None:
        batch = played.replay.batch(played.slots, device)
        probabilities = log_probabilities(model.policy, batch).exp().numpy()
    episode = Episode.of(
        played.replay,
        int(played.slots[0]),
        played.spec,
        {name: symbol for symbol, name in model.env.settings.units.items()},
        f"{model.variant_name} on {model.problem_name}, seed {model.seed}: {path.stem}",
        probabilities,
    )
    try:
        gif.parent.mkdir(parents=True, exist_ok=True)
        write_gif(episode, gif)
        write_contact_sheet(episode, sheet)
    except OSError as error:
        raise TramaError(f"{gif}: cannot be written: {error.strerror}.") from error
    total = episode.reward.sum()
    print(f"{task.name}: {episode.outcome} after {episode.n_steps} steps, return {total:.2f}")
    print(f"{gif}: {episode.n_steps + 1} frames")
    print(f"{sheet}: contact sheet")
    for path in played.recordings:
        print(f"{path}: the game's own replay")


if __name__ == "__main__":
    main()
