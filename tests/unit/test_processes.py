"""Games in processes of their own: what fails is replaced, and nothing is left behind."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fake_games import SPEC, Fault, WalkGame
from fakes import CPU, make_trainer, random_actions, small_train
from trama.config.backends import GamePatience
from trama.environments.base import Observation, Step
from trama.environments.processes import ProcessVectorEnv
from trama.errors import TramaError
from trama.learning.policy import Policy, PolicySizes
from trama.learning.rollout import Episodes, play_episodes

QUICK = GamePatience(start_seconds=20.0, step_seconds=3.0, interval_seconds=0.01, attempts=3)
Open = Callable[..., ProcessVectorEnv]


@pytest.fixture
def games(tmp_path: Path) -> Iterator[Open]:
    """Opens environments of `WalkGame` with faults; closes them at the end."""
    opened: list[ProcessVectorEnv] = []

    def open_(n_envs: int = 2, *faults: Fault, patience: GamePatience = QUICK) -> ProcessVectorEnv:
        folder = tmp_path / f"games_{len(opened)}"
        folder.mkdir()
        make = partial(WalkGame, folder, faults)
        opened.append(ProcessVectorEnv(SPEC, n_envs, make, patience))
        return opened[-1]

    yield open_
    for env in opened:
        env.close()


def _play(env: ProcessVectorEnv, n_steps: int, seen: Observation) -> list[Step]:
    """Steps of actions that depend on what is seen alone."""
    steps = []
    for _ in range(n_steps):
        steps.append(env.step(_choose(seen)))
        seen = steps[-1].observation
    return steps


def _choose(seen: Observation) -> np.ndarray:
    rows = [
        random_actions(available[None], np.random.default_rng(int(1000 * abs(state[1]))))[0]
        for available, state in zip(seen.available_actions, seen.state, strict=True)
    ]
    return np.array(rows)


def _of(steps: list[Step], e: int) -> list[list[Any]]:
    """All that one environment showed."""
    return [
        [part[e].tolist() for part in (*step.observation, *step.last, *step[2:])] for step in steps
    ]


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _processes(folder: Path) -> list[int]:
    return [int(path.name.rpartition("_")[2]) for path in folder.glob("**/*_[0-9]*")]


def _wait_until_gone(pids: list[int], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while (left := [pid for pid in pids if _alive(pid)]) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []


def test_episodes_depend_on_seed_and_environment_alone(games: Open) -> None:
    two, three = games(2), games(3)
    runs = [_play(env, 25, env.reset(5)) for env in (two, three)]
    for e in range(2):
        assert _of(runs[0], e) == _of(runs[1], e)
    again = _play(two, 25, two.reset(5))
    other = _play(two, 25, two.reset(6))
    assert _of(again, 0) == _of(runs[0], 0)
    assert _of(other, 0) != _of(runs[0], 0)
    assert _of(runs[0], 0) != _of(runs[0], 1)


def test_episodes_of_uneven_lengths_end_each_for_itself(games: Open) -> None:
    env = games(3)
    steps = _play(env, 40, env.reset(0))
    lengths: list[list[int]] = [[], [], []]
    running, tasks = [0, 0, 0], set()
    for step in steps:
        assert not (step.terminated & step.truncated).any()
        for e in range(3):
            running[e] += 1
            assert step.last.obs[e, 0, 0] == running[e]
            if step.terminated[e] or step.truncated[e]:
                assert step.observation.obs[e, 0, 0] == 0
                assert bool(step.truncated[e]) == (running[e] == 9)
                lengths[e].append(running[e])
                running[e] = 0
            else:
                assert step.observation.obs[e, 0, 0] == running[e]
        tasks |= set(step.task.tolist())
    assert tasks == {0, 1, 2}
    assert len({tuple(each) for each in lengths}) == 3
    assert not env.lost.any() and env.lost_episodes == 0


@pytest.mark.parametrize("how", ["crash", "raise", "hang"])
def test_a_failure_costs_the_episode_and_no_other(
    games: Open, how: str, warned: Callable[[], list[str]]
) -> None:
    patience = GamePatience(start_seconds=20.0, step_seconds=1.0, interval_seconds=0.01, attempts=3)
    whole = games(2)
    left_alone = _play(whole, 12, whole.reset(3))
    env = games(2, Fault(how, at=1, environment=1), patience=patience)
    seen = env.reset(3)
    before = env.pids
    steps = _play(env, 1, seen)
    assert not env.lost.any()
    steps += _play(env, 1, steps[-1].observation)
    assert env.lost.tolist() == [False, True] and env.lost_episodes == 1
    void = steps[-1]
    assert void.reward[1] == 0 and not (void.terminated | void.truncated | void.won)[1]
    assert void.task[1] == left_alone[1].task[1]
    for first, last in zip(void.observation, void.last, strict=True):
        assert np.array_equal(first[1], last[1])
    assert env.pids[0] == before[0] and env.pids[1] != before[1]
    _wait_until_gone([before[1]])
    steps += _play(env, 10, void.observation)
    assert not env.lost.any() and env.lost_episodes == 1
    assert _of(steps, 0) == _of(left_alone, 0)
    # It goes on with the episode that would have come next.
    ends = [i for i, step in enumerate(left_alone) if (step.terminated | step.truncated)[1]]
    assert np.array_equal(left_alone[ends[0]].observation.state[1], void.observation.state[1])
    (message,) = warned()
    assert "environment 1" in message and f"about to {how}" in message
    expected = {"crash": "exit status 7", "raise": "the game is gone", "hang": "within 1 s"}
    assert expected[how] in message and "thrown away so far: 1" in message


def test_a_game_that_fails_to_begin_is_replaced(games: Open) -> None:
    env = games(1, Fault("raise", at=-1, episode=1))
    steps = _play(env, 9, env.reset(1))
    assert sum(bool((s.terminated | s.truncated)[0]) for s in steps) >= 1
    assert env.lost_episodes == 1 and not env.lost.any()


def test_a_failed_start_is_tried_again(games: Open, warned: Callable[[], list[str]]) -> None:
    env = games(2, Fault("crash", at="start"))
    env.reset(0)
    assert len(env.pids) == 2 and env.lost_episodes == 0
    assert ["no episode is lost" in message for message in warned()] == [True]


def test_a_slow_start_is_waited_for(games: Open) -> None:
    env = games(1, Fault("slow", at="start"))
    env.reset(0)
    assert env.lost_episodes == 0 and not _play(env, 1, env.reset(0))[0].terminated[0]


def test_too_slow_a_start_is_a_failure(games: Open, tmp_path: Path) -> None:
    patience = GamePatience(start_seconds=2.0, step_seconds=1.0, interval_seconds=0.01, attempts=2)
    env = games(1, Fault("hang", at="start", times=9), patience=patience)
    with pytest.raises(TramaError, match=r"failed 2 times in a row.*no start within 2 s"):
        env.reset(0)
    _wait_until_gone(_processes(tmp_path))


def test_starts_are_staggered(games: Open, tmp_path: Path) -> None:
    patience = GamePatience(start_seconds=20.0, step_seconds=3.0, interval_seconds=0.7, attempts=2)
    env = games(3, patience=patience)
    begin = time.monotonic()
    env.reset(0)
    assert time.monotonic() - begin > 2 * 0.7
    times = sorted(path.stat().st_mtime for path in tmp_path.glob("*/worker_*"))
    assert len(times) == 3 and times[-1] - times[0] > 0.7


def test_it_gives_up_on_a_game_that_always_fails(games: Open, tmp_path: Path) -> None:
    env = games(2, *(Fault("crash", at=0, environment=1, episode=k, times=9) for k in range(9)))
    seen = env.reset(0)
    with pytest.raises(TramaError, match="environment 1 failed 3 times in a row"):
        _play(env, 9, seen)
    _wait_until_gone(_processes(tmp_path))
    with pytest.raises(TramaError, match=r"call reset\(seed\)"):
        env.step(np.zeros((2, 3), int))


def test_what_cannot_be_helped_is_not_tried_again(games: Open, tmp_path: Path) -> None:
    env = games(2, Fault("final", at="start", times=9))
    with pytest.raises(TramaError, match="nothing can be done about it"):
        env.reset(0)
    assert len(list(tmp_path.glob("*/fault_*"))) <= 2
    _wait_until_gone(_processes(tmp_path))


def test_unavailable_actions_are_refused(games: Open) -> None:
    env = games(2)
    with pytest.raises(TramaError, match=r"call reset\(seed\)"):
        env.step(np.zeros((2, 3), int))
    seen = env.reset(0)
    wrong = seen.available_actions.argmin(2)
    with pytest.raises(TramaError, match="is not available"):
        env.step(wrong)
    with pytest.raises(TramaError, match="integers of shape"):
        env.step(np.zeros((1, 3), int))
    _play(env, 3, seen)


def test_close_leaves_nothing_and_a_reset_starts_anew(games: Open, tmp_path: Path) -> None:
    env = games(2)
    first = _play(env, 5, env.reset(4))
    folders = [worker.folder for worker in env._workers.values()]
    env.close()
    _wait_until_gone(_processes(tmp_path), seconds=2)
    assert not any(folder.exists() for folder in folders)
    with pytest.raises(TramaError, match=r"call reset\(seed\)"):
        env.snapshot()
    assert _of(_play(env, 5, env.reset(4)), 0) == _of(first, 0)


def test_tasks_have_the_chances_that_they_are_given(games: Open) -> None:
    """From the next episode on; what else is random in an episode is the same."""
    usual, env = games(2), games(2)
    seen = usual.reset(2)
    first = usual.task
    steps = _play(usual, 60, seen)
    assert np.array_equal(env.reset(2).state, seen.state) and np.array_equal(env.task, first)
    env.set_task_chances(np.array([0.0, 0.3, 0.7]))
    shifted = _play(env, 60, seen)
    lengths = [[(s.terminated | s.truncated).tolist() for s in run] for run in (steps, shifted)]
    assert lengths[0] == lengths[1]
    tasks = np.array([step.task for step in shifted])
    begun = np.cumsum([[False, False], *lengths[1][:-1]], axis=0) > 0
    assert np.array_equal(tasks[~begun], np.broadcast_to(first, tasks.shape)[~begun])
    assert set(tasks[begun]) == {1, 2}
    env.set_task_chances(np.array([0.0, 1.0, 0.0]))
    other = games(2)
    other.restore(env.snapshot())
    assert other.task.tolist() == [1, 1]
    drawn = []
    env.set_task_chances(np.array([0.0, 0.3, 0.7]))
    for number in range(1000):
        env._number[:] = number
        drawn.append(env._episode(0)[0])
    assert np.mean(drawn) == pytest.approx(1.7, abs=4.5 * np.sqrt(0.21 / 1000))


def test_restore_begins_the_episodes_after_those_that_ran(games: Open) -> None:
    env, other = games(2), games(2)
    steps = _play(env, 30, env.reset(2))
    env.lost_episodes = 4
    snapshot = env.snapshot()
    seen = other.restore(snapshot)
    assert seen is not None and other.lost_episodes == 4
    after = env.step(_choose(steps[-1].observation))
    while not (after.terminated | after.truncated)[0]:
        after = env.step(_choose(after.observation))
    assert np.array_equal(after.observation.state[0], seen.state[0])


_PARENT = """
import signal, sys
# A shell that runs the tests in the background lets them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
from functools import partial
from pathlib import Path
from fake_games import SPEC, WalkGame
from trama.config.backends import GamePatience
from trama.environments.processes import ProcessVectorEnv
import numpy as np
env = ProcessVectorEnv(SPEC, 2, partial(WalkGame, Path(sys.argv[1]), (), 0.05), GamePatience())
seen = env.reset(0)
print("ready", flush=True)
while True:
    seen = env.step(np.zeros((2, 3), int)).observation
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_games_die_with_the_process_that_plays(tmp_path: Path, number: signal.Signals) -> None:
    places = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    games = tmp_path / "games"
    games.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(games)], env=places, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None and parent.stdout.readline() == "ready\n"
    pids = _processes(games)
    assert len(pids) == 4 and all(map(_alive, pids))
    parent.send_signal(number)
    parent.wait(timeout=60)
    parent.stdout.close()
    _wait_until_gone(pids)
    end = time.monotonic() + 5
    while list(tmp_path.glob("trama-game-*")) and time.monotonic() < end:
        time.sleep(0.05)
    assert list(tmp_path.glob("trama-game-*")) == []


def test_a_job_that_is_asked_to_stop_keeps_its_games(games: Open) -> None:
    env = games(2)
    seen = env.reset(0)
    for pid in env.pids:
        os.killpg(pid, signal.SIGTERM)
    _play(env, 12, seen)
    assert env.lost_episodes == 0


def _policy() -> Policy:
    torch.manual_seed(0)
    return Policy(PolicySizes(4, 3, 4, 8, None, 7))


def test_lost_episodes_are_not_counted_in_tests(games: Open) -> None:
    whole = games(2)
    replay, slots = play_episodes(whole, _policy(), 2, 0, CPU)
    expected = Episodes.of(replay, slots)
    env = games(2, Fault("crash", at=1, environment=1))
    replay, slots = play_episodes(env, _policy(), 2, 0, CPU)
    played = Episodes.of(replay, slots)
    assert env.lost_episodes == 1 and len(slots) == 2
    assert played.length[0] == expected.length[0]
    assert (played.length >= 3).all()
    for slot in slots:
        length = replay.length[slot]
        assert replay.obs[slot, : length + 1, 0, 0].tolist() == list(range(length + 1))


def test_training_goes_on_without_the_lost_episodes(games: Open) -> None:
    faults = [Fault(how, at=2, environment=1, episode=k) for k, how in ((0, "crash"), (2, "raise"))]
    env = games(4, *faults)
    trainer = make_trainer(env, "qmix", small_train(), None, 0)
    finished = 0
    for _ in range(60):
        for slot in trainer.step():
            finished += 1
            length = int(trainer.replay.length[slot])
            counted = trainer.replay.obs[slot, : length + 1, 0, 0].tolist()
            assert counted == list(range(length + 1))
    assert env.lost_episodes == 2 and trainer.updates > 0
    assert trainer.episodes == finished and trainer.env_steps == 60 * 4


def test_a_resumed_training_drops_the_running_episodes(games: Open) -> None:
    env = games(2)
    trainer = make_trainer(env, "qmix", small_train(n_envs=2), None, 0)
    for _ in range(25):
        trainer.step()
    state = trainer.state_dict()
    resumed = make_trainer(games(2), "qmix", small_train(n_envs=2), None, 1)
    resumed.load_state_dict(state)
    assert (resumed.replay.length[resumed.replay.running] == 0).all()
    slots = resumed.replay.finished
    assert len(slots) == len(trainer.replay.finished)
    finished: list[int] = []
    while len(finished) < 4:
        finished += resumed.step().tolist()
    for slot in finished:
        length = int(resumed.replay.length[slot])
        assert resumed.replay.obs[slot, : length + 1, 0, 0].tolist() == list(range(length + 1))


def test_the_log_is_quiet_while_all_is_well(games: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trama")
    env = games(1)
    _play(env, 10, env.reset(0))
    assert caplog.records == []
