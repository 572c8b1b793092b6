"""Episodes to watch: what is read of them, and the pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from fakes import make_spec
from trama.environments.base import EnvSpec, Observation
from trama.errors import TramaError
from trama.learning.replay import ReplayBuffer
from trama.reporting import style
from trama.reporting.replay import Episode, write_contact_sheet, write_gif

SYMBOLS = {"stalker": "s", "zealot": "z"}
UNITS = ("ally_0", "ally_1", "ally_2", "enemy_0", "enemy_1")
OWN = ("health", "x", "y", "is_stalker", "is_zealot")
SPEC = replace(
    make_spec(3, 1, len(UNITS) * len(OWN) + 1, 4, episode_limit=4, n_tasks=1),
    tasks=("1s1z surrounded",),
    state_features=(*(f"{unit}_{name}" for unit in UNITS for name in OWN), "weather"),
    actions=("stop", "north", "attack_enemy_0", "attack_enemy_1"),
)
NOTHING = (0.0,) * len(OWN)
# Agent 0 goes right and up; agent 1 falls after the second state; agent 2 and enemy 1 are missing.
STATES = [
    [(1.0, 1, 2, 1, 0), (0.5, 5, 3, 0, 1), NOTHING, (1.0, 9, 9, 1, 0), NOTHING],
    [(0.9, 2, 4, 1, 0), (0.2, 5, 4, 0, 1), NOTHING, (0.8, 9, 8, 1, 0), NOTHING],
    [(0.9, 3, 6, 1, 0), NOTHING, NOTHING, (0.6, 9, 7, 1, 0), NOTHING],
    [(0.9, 4, 8, 1, 0), NOTHING, NOTHING, NOTHING, NOTHING],
]
ACTIONS = [[1, 2, 0], [3, 2, 0], [2, 0, 0]]
CLASSES = [[0, 1, 0], [0, 0, 0], [2, 0, 0]]


def played(spec: EnvSpec, probabilities: np.ndarray | None, won: bool = True) -> Episode:
    """The episode above, in an environment whose state has the features of `spec`."""
    replay = ReplayBuffer(spec, capacity=1, n_running=1)
    seen = []
    for rows in STATES:
        values = dict(zip(SPEC.state_features, [*np.concatenate(rows), 0.7], strict=True))
        state = np.array([[values.get(n, 0.0) for n in spec.state_features]], np.float32)
        obs = np.zeros((1, 3, 1), np.float32)
        seen.append(Observation(obs, state, np.ones((1, 3, 4), np.bool_)))
    for each, action, classes in zip(seen[:-1], ACTIONS, CLASSES, strict=True):
        replay.write(each, np.array([action]), np.array([classes]), np.array([1.5]))
    end = np.array([True]), np.array([won]), np.array([0])
    (slot,) = replay.finish(np.array([0]), seen[-1], *end)
    return Episode.of(replay, int(slot), spec, SYMBOLS, "a policy", probabilities)


def guesses() -> np.ndarray:
    """Probabilities [T, A, K] of which the classes above are the largest."""
    return 0.1 + 0.7 * np.eye(3)[np.array(CLASSES)]


def test_what_is_read_of_an_episode() -> None:
    episode = played(SPEC, None)
    assert [unit.name for unit in episode.units] == list(UNITS)
    assert [unit.symbol for unit in episode.units] == ["s", "z", "", "s", ""]
    assert [unit.living.tolist() for unit in episode.units] == [
        [True] * 4,
        [True, True, False, False],
        [False] * 4,
        [True, True, True, False],
        [False] * 4,
    ]
    first, second, _, enemy, _ = (unit.position.tolist() for unit in episode.units)
    assert first == [[1, 2], [2, 4], [3, 6], [4, 8]]
    assert second == [[5, 3], [5, 4], [5, 4], [5, 4]]  # where it fell
    assert enemy == [[9, 9], [9, 8], [9, 7], [9, 7]]
    assert episode.target.tolist() == [[-1, 3, -1], [4, 3, -1], [3, -1, -1]]
    assert (episode.task, episode.outcome, episode.n_steps) == ("1s1z surrounded", "won", 3)
    assert played(SPEC, None, won=False).outcome == "lost"


@pytest.mark.parametrize("probabilities", [None, guesses()], ids=["no classes", "classes"])
def test_pictures_depend_on_the_features_names_alone(
    probabilities: np.ndarray | None, tmp_path: Path
) -> None:
    """A frame per state, of which the last one stays; features in any order give equal bytes."""
    shuffled = tuple(np.random.default_rng(0).permutation(SPEC.state_features))
    for name, spec in (("a", SPEC), ("b", replace(SPEC, state_features=shuffled))):
        episode = played(spec, probabilities)
        write_gif(episode, tmp_path / f"{name}.gif")
        write_contact_sheet(episode, tmp_path / f"{name}.png")
    for suffix in ("gif", "png"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in "ab")
        assert first.read_bytes() == second.read_bytes()
    with Image.open(tmp_path / "a.gif") as gif:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
    assert durations == [200, 200, 200, 3000]
    with Image.open(tmp_path / "a.png") as sheet:
        sheet.load()
        assert sheet.format == "PNG" and min(sheet.size) > 300
        assert sheet.info["Title"] == "a policy: 1s1z surrounded"


def test_an_agent_is_drawn_where_it_is(tmp_path: Path) -> None:
    """Agent 0 goes right and up; the colour of agents is nowhere else once agent 1 has fallen."""
    write_gif(played(SPEC, None), tmp_path / "a.gif")
    colour = np.array([int(style.PALETTE[5][i : i + 2], 16) for i in (1, 3, 5)])
    centres = []
    with Image.open(tmp_path / "a.gif") as gif:
        for frame in (2, 3):
            gif.seek(frame)
            pixels = np.asarray(gif.convert("RGB")).astype(int)
            panel = pixels[: pixels.shape[1]]  # not the legend
            rows, columns = np.nonzero(np.abs(panel - colour).sum(2) < 30)
            assert len(rows) > 100
            centres.append([columns.mean(), rows.mean()])
    (x, y), (later_x, later_y) = centres
    moved = later_x - x
    assert moved > 20 and y - later_y == pytest.approx(2 * moved, abs=4)


def test_a_state_without_positions_is_refused() -> None:
    features = tuple(name.replace("ally_1_y", "ally_1_height") for name in SPEC.state_features)
    with pytest.raises(TramaError, match="has no feature 'ally_1_y': its episodes cannot be drawn"):
        played(replace(SPEC, state_features=features), None)


def particles(position: float) -> Episode:
    """An episode of one step: agent 0 at `position`, agent 1 missing, prey, a landmark."""
    rows: dict[str, list[tuple[float, float, float]]] = {
        "prey_0": [(0.05, 0, 0), (0.05, 0, 0.1)],
        "agent_0": [(0.15, 0, -1), (0.15, position, position)],
        "agent_1": [(0, 0, 0), (0, 0, 0)],
        "landmark_0": [(0.2, 1, 1), (0.2, 1, 1)],
    }
    features = tuple(f"{name}_{own}" for name in rows for own in ("radius", "x", "y"))
    spec = replace(
        make_spec(2, 1, len(features), 2, episode_limit=1, n_tasks=1),
        tasks=("tag_1",),
        state_features=features,
        actions=("stay", "west"),
    )
    replay = ReplayBuffer(spec, capacity=1, n_running=1)
    states = np.array([np.ravel([row[t] for row in rows.values()]) for t in range(2)], np.float32)
    first, last = (
        Observation(np.zeros((1, 2, 1), np.float32), state[None], np.ones((1, 2, 2), np.bool_))
        for state in states
    )
    zeros = np.zeros((1, 2), np.int64)
    replay.write(first, zeros, zeros, np.array([1.0]))
    flags = np.array([False]), np.array([False]), np.array([0])
    (slot,) = replay.finish(np.array([0]), last, *flags)
    return Episode.of(replay, int(slot), spec, {}, "a policy", np.full((1, 2, 3), 1 / 3))


def test_particles_are_read_and_drawn_too(tmp_path: Path) -> None:
    episode = particles(0.5)
    assert [unit.name for unit in episode.units] == ["agent_0", "agent_1", "prey_0", "landmark_0"]
    assert [unit.name for unit in episode.agents] == ["agent_0", "agent_1"]
    assert [unit.radius for unit in episode.units] == pytest.approx([0.15, 0, 0.05, 0.2])
    assert [unit.living.all() for unit in episode.units] == [True, False, True, True]
    assert episode.units[0].position.tolist() == [[0, -1], [0.5, 0.5]]
    assert (episode.outcome, episode.target.tolist()) == ("time is up", [[-1, -1]])
    pictures = []
    for position in (0.5, -0.5):
        write_gif(particles(position), tmp_path / "a.gif")
        write_contact_sheet(particles(position), tmp_path / "a.png")
        with Image.open(tmp_path / "a.gif") as gif:
            assert sum(1 for _ in ImageSequence.Iterator(gif)) == 2
        pictures.append((tmp_path / "a.png").read_bytes())
    assert pictures[0] != pictures[1]
