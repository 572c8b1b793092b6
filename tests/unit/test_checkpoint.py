"""Trainings that are stopped, killed and continued, and checkpoints that cannot be used."""

import json
import logging
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chain import CHOSEN, MEAN_STATE, QUANTISED, UseEnv, files_of, honest, run_chain, run_train
from fakes import CPU
from trama.config.model import Representation
from trama.config.params import RunSettings
from trama.errors import TramaError
from trama.learning import checkpoint as checkpoint_module
from trama.learning.checkpoint import MANIFEST, Checkpoint
from trama.stages import train as train_stage

OFTEN = RunSettings(checkpoint_minutes=1e-9)  # after every step
KEPT = RunSettings(keep_checkpoint=True)
STEPS = 75
"""Calls of the loop in a training of `run_train`: 300 env steps of 4 environments."""


@pytest.fixture(scope="module")
def chains() -> dict[Representation, dict[str, bytes]]:
    """Files of a chain that ran without a stop."""
    return {}


@pytest.fixture
def trained(
    tmp_path: Path, use_env: UseEnv, chains: dict[Representation, dict[str, bytes]]
) -> Callable[[Representation], Path]:
    """A function that gives a folder with the files of a whole chain."""

    def run(representation: Representation) -> Path:
        use_env(honest)
        folder = tmp_path / "run"
        if representation not in chains:
            run_chain(folder, representation)
            chains[representation] = files_of(folder)
        folder.mkdir(exist_ok=True)
        for name, content in chains[representation].items():
            (folder / name).write_bytes(content)
        return folder

    return run


def _checkpoint(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}_checkpoints") / "key"


def _forget_training(folder: Path) -> dict[str, bytes]:
    """Remove what the training wrote; what it was."""
    before = files_of(folder)
    made = ("policy_last.pt", "policy_best.pt", "history.parquet")
    for name in (*made, "train_embeddings.parquet", "train_codebook.parquet"):
        (folder / name).unlink(missing_ok=True)
    return before


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets SIGTERM come in the n-th step of the trainings that follow; 0 for never."""
    original = train_stage._Run.step
    left = [0]

    def step(self: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self)

    monkeypatch.setattr(train_stage._Run, "step", step)

    def stop_after(steps: int) -> None:
        left[0] = steps

    return stop_after


@pytest.mark.parametrize(
    ("representation", "start"),
    [(QUANTISED, "collect"), (QUANTISED, "replay"), (MEAN_STATE, "collect"), (CHOSEN, "collect")],
    ids=["vqvae", "replay", "mean_state", "chosen"],
)
def test_a_stopped_training_ends_in_the_same_bytes(
    representation: Representation,
    start: str,
    trained: Callable[[Representation], Path],
    stop_after: Callable[[int], None],
) -> None:
    """Stopped at the first step, around re-clusterings, and late; in 60 replayed episodes, too."""
    folder = trained(representation)
    whole = _forget_training(folder)
    if start == "replay":
        run_train(folder, representation, start=start)
        whole = _forget_training(folder)
    reached = []
    for steps in (1, 30, 12, 22) if start == "collect" else (1, 30, 30, 30, 12, 22):
        stop_after(steps)
        with pytest.raises(
            TramaError, match=r"stopped by SIGTERM at .* goes on from here"
        ) as error:
            run_train(folder, representation, start=start)
        reached.append(int(str(error.value).split("SIGTERM at ")[1].split()[0]))
    replayed = [0, 0] if start == "replay" else []
    assert reached == [*replayed, 4, 124, 172, 260]  # nothing was done twice
    stop_after(0)
    run_train(folder, representation, start=start)
    assert files_of(folder) == whole
    assert not _checkpoint(folder).exists()


def test_a_training_that_starts_cold_with_collected_episodes(
    trained: Callable[[Representation], Path], stop_after: Callable[[int], None]
) -> None:
    """Stopped before its first classes, and after."""
    folder = trained(QUANTISED)
    start: dict[str, Any] = {"warm_start": False, "start": "replay"}
    run_train(folder, QUANTISED, **start)
    whole = _forget_training(folder)
    for steps in (20, 30):
        stop_after(steps)
        with pytest.raises(TramaError, match="stopped"):
            run_train(folder, QUANTISED, **start)
    stop_after(0)
    run_train(folder, QUANTISED, **start)
    assert files_of(folder) == whole


def test_a_training_whose_mixture_shifts(
    trained: Callable[[Representation], Path], stop_after: Callable[[int], None]
) -> None:
    """Stopped around the shifts, of which there is one in every 15 steps."""
    folder = trained(QUANTISED)
    _forget_training(folder)
    shift = {"amount": 1.0, "interval_env_steps": 60}
    run_train(folder, QUANTISED, mixture_shift=shift)
    whole = _forget_training(folder)
    for steps in (14, 1, 1, 14, 30):
        stop_after(steps)
        with pytest.raises(TramaError, match="stopped"):
            run_train(folder, QUANTISED, mixture_shift=shift)
    stop_after(0)
    run_train(folder, QUANTISED, mixture_shift=shift)
    assert files_of(folder) == whole


def test_a_training_whose_average_is_tested(
    trained: Callable[[Representation], Path], stop_after: Callable[[int], None]
) -> None:
    """What it would otherwise keep is another policy; how it learns is the same."""
    folder = trained(CHOSEN)
    plain = _forget_training(folder)
    run_train(folder, CHOSEN, weight_average_decay=0.9)
    whole = _forget_training(folder)
    assert whole["policy_last.pt"] != plain["policy_last.pt"]
    assert whole["train_embeddings.parquet"] == plain["train_embeddings.parquet"]
    for steps in (20, 30):
        stop_after(steps)
        with pytest.raises(TramaError, match="stopped"):
            run_train(folder, CHOSEN, weight_average_decay=0.9)
    stop_after(0)
    run_train(folder, CHOSEN, weight_average_decay=0.9)
    assert files_of(folder) == whole


@pytest.mark.parametrize("mixer_only", [True, False], ids=["baseline", "oracle"])
def test_variants_without_a_representation(
    mixer_only: bool, trained: Callable[[Representation], Path], stop_after: Callable[[int], None]
) -> None:
    folder = trained(MEAN_STATE)
    labels = None if mixer_only else "true_task"
    _forget_training(folder)
    run_train(folder, None, labels)
    whole = _forget_training(folder)
    stop_after(40)
    with pytest.raises(TramaError, match="stopped"):
        run_train(folder, None, labels)
    run_train(folder, None, labels)
    assert files_of(folder) == whole


def test_a_training_that_drops_classes(
    trained: Callable[[Representation], Path], stop_after: Callable[[int], None]
) -> None:
    """Which running episodes are without a class is part of the checkpoint."""
    folder = trained(MEAN_STATE)
    drops: dict[str, Any] = {"class_representation": {"kind": "one_hot", "dropout": 0.4}}
    _forget_training(folder)
    run_train(folder, MEAN_STATE, **drops)
    whole = _forget_training(folder)
    for steps in (7, 40):
        stop_after(steps)
        with pytest.raises(TramaError, match="stopped"):
            run_train(folder, MEAN_STATE, **drops)
    stop_after(0)
    run_train(folder, MEAN_STATE, **drops)
    assert files_of(folder) == whole


class _Death(BaseException):
    """Ends a process without any tidying up, as far as one process can play that."""


@pytest.mark.parametrize(
    ("call", "number"),
    [("fsync", n) for n in (1, 2, 3, 9, 40)]
    + [("replace", n) for n in (1, 2, 40)]
    + [("unlink", n) for n in (1, 5)]
    + [("rmtree", 1)],
)
def test_death_in_the_middle_of_a_checkpoint(
    call: str,
    number: int,
    trained: Callable[[Representation], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the n-th time that something is brought to the disk, renamed, or deleted."""
    folder = trained(QUANTISED)
    whole = _forget_training(folder)
    calls = 0

    def dying(original: Callable[..., Any]) -> Callable[..., Any]:
        def die(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                raise _Death
            return original(*arguments, **named)

        return die

    with monkeypatch.context() as patched:
        place = {"fsync": os, "rmtree": shutil}.get(call, Path)
        patched.setattr(place, call, dying(getattr(place, call)))
        with pytest.raises(_Death):
            run_train(folder, QUANTISED, run_settings=OFTEN)
    run_train(folder, QUANTISED)
    assert files_of(folder) == whole


def test_a_longer_training_goes_on_from_the_kept_checkpoint(
    trained: Callable[[Representation], Path],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("trama"), "propagate", True)
    caplog.set_level(logging.INFO, "trama")
    folder = trained(QUANTISED)
    _forget_training(folder)
    run_train(folder, QUANTISED, env_steps=420)
    long = _forget_training(folder)
    assert not _checkpoint(folder).exists()
    run_train(folder, QUANTISED, run_settings=KEPT)  # 300 env steps, and a test at their end
    assert _checkpoint(folder).exists()
    _forget_training(folder)
    caplog.clear()
    run_train(folder, QUANTISED, run_settings=KEPT, env_steps=420)
    assert "going on from the checkpoint at 300 env steps" in caplog.text
    assert files_of(folder) == long
    # Both as the configuration counts them, with the 250 of stage collect.
    with pytest.raises(TramaError, match=r"train\.env_steps: 550 is less than the 670 .*Raise it"):
        run_train(folder, QUANTISED, run_settings=KEPT)


def test_the_replay_is_appended_not_rewritten(
    trained: Callable[[Representation], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained(QUANTISED)
    _forget_training(folder)
    original, written = Checkpoint._write, []

    def write(self: Checkpoint, name: str, content: Any) -> dict[str, Any]:
        if name.startswith("episodes"):
            written.append(len(content["n_rows"]))
        return original(self, name, content)

    monkeypatch.setattr(Checkpoint, "_write", write)
    run_train(
        folder,
        QUANTISED,
        run_settings=RunSettings(checkpoint_minutes=1e-9, keep_checkpoint=True),
        env_steps=900,
        buffer_size=32,
        start="scratch",
    )
    episodes = sum(written)
    assert episodes > 150 and max(written) <= 4  # each episode once, of 4 environments a step
    manifest = json.loads((_checkpoint(folder) / MANIFEST).read_text())
    stops = [part["stop"] for part in manifest["episodes"]]
    assert stops[-1] == episodes and stops[0] > episodes - 32  # files of gone episodes are gone
    names = {entry["name"] for entry in [manifest["state"], *manifest["episodes"]]}
    assert {p.name for p in _checkpoint(folder).iterdir()} == names | {MANIFEST, "lock"}


@pytest.fixture
def half_trained(
    trained: Callable[[Representation], Path], stop_after: Callable[[int], None]
) -> Path:
    """A folder in which a training was stopped after 50 steps."""
    folder = trained(QUANTISED)
    _forget_training(folder)
    stop_after(50)
    with pytest.raises(TramaError, match="stopped"):
        run_train(folder, QUANTISED)
    return folder


@pytest.mark.parametrize("which", ["state_1.pt", "episodes_1.pt", MANIFEST])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "empty"])
def test_damage_is_noticed(
    which: str, damage: str, half_trained: Path, chains: dict[Representation, dict[str, bytes]]
) -> None:
    whole_training = chains[QUANTISED]
    path = _checkpoint(half_trained) / which
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "gone":
        path.unlink()
    else:
        flipped = content[:middle] + bytes([content[middle] ^ 64]) + content[middle + 1 :]
        path.write_bytes({"cut": content[:middle], "flipped": flipped, "empty": b""}[damage])
    finished = files_of(half_trained)
    if (which, damage) == (MANIFEST, "gone"):  # then there is no checkpoint
        run_train(half_trained, QUANTISED)
        assert files_of(half_trained) == whole_training
        return
    with pytest.raises(TramaError) as error:
        run_train(half_trained, QUANTISED)
    message = str(error.value)
    assert str(_checkpoint(half_trained)) in message
    assert "Remove the folder" in message and "to train from the start" in message
    assert files_of(half_trained) == finished


def test_a_checkpoint_of_another_configuration(half_trained: Path) -> None:
    path = _checkpoint(half_trained) / MANIFEST
    manifest = json.loads(path.read_text())
    for change, message in [
        ({"key": "other"}, "belongs to another configuration or version"),
        ({"device": "cuda"}, "was written on cuda, and this job runs on cpu"),
    ]:
        changed = {name: value for name, value in manifest.items() if name != "sha256"} | change
        digest = checkpoint_module._digest(changed)
        path.write_text(json.dumps(changed | {"sha256": digest}))
        with pytest.raises(TramaError, match=message):
            run_train(half_trained, QUANTISED)
    path.write_text(json.dumps(manifest | {"episodes": []}))
    with pytest.raises(TramaError, match="its own hash does not fit"):
        run_train(half_trained, QUANTISED)
    path.write_text(json.dumps(manifest))
    with pytest.raises(TramaError, match="does not fit this training"):
        run_train(half_trained, QUANTISED, predictor={"hidden_size": 11})


def test_two_processes_on_one_training(half_trained: Path) -> None:
    with (
        Checkpoint(_checkpoint(half_trained), "key", CPU).locked(),
        pytest.raises(
            TramaError, match=rf"another process runs this training \(process {os.getpid()} on "
        ),
    ):
        run_train(half_trained, QUANTISED)
    run_train(half_trained, QUANTISED)  # free again


def test_a_full_disk_costs_the_checkpoint_alone(
    half_trained: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: Callable[[int], None],
) -> None:
    """Files may not grow beyond 20 kB while the second checkpoint is written."""
    monkeypatch.setattr(logging.getLogger("trama"), "propagate", True)
    folder = _checkpoint(half_trained)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    original = checkpoint_module.Checkpoint.save

    def save(self: Checkpoint, run: Any) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            original(self, run)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(checkpoint_module.Checkpoint, "save", save)
    stop_after(5)
    with pytest.raises(TramaError, match=r"stopped by SIGTERM at 220 .* no checkpoint was written"):
        run_train(half_trained, QUANTISED)
    assert "could not be written" in caplog.text and "Make room on the disk" in caplog.text
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert after == before | {"lock": after["lock"]}


def test_a_file_system_that_does_not_sync_folders(
    trained: Callable[[Representation], Path],
    monkeypatch: pytest.MonkeyPatch,
    stop_after: Callable[[int], None],
) -> None:
    folder = trained(QUANTISED)
    whole = _forget_training(folder)
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(22, "Invalid argument")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    stop_after(40)
    with pytest.raises(TramaError, match="goes on from here"):
        run_train(folder, QUANTISED, run_settings=OFTEN)
    run_train(folder, QUANTISED)
    assert files_of(folder) == whole
