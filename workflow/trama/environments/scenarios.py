"""Episodes of the tasks as SMACv2's distributions: teams and start positions.

They have the interface of SMACv2's own (`generate`, `n_tasks`, a generator `rng`), and are
registered with it; nothing of SMACv2 is imported here. Each plays the task that `task` names.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

TEAMS = "trama_teams"
STARTS = "trama_starts"
"""Names under which the distributions are registered with SMACv2."""

NEAREST_GROUP = 2.0
"""Closest that a surrounding group comes to the centre, in x and in y."""
REFLECTED_GAP = 1.0
"""Closest that reflected units come to the middle of the map."""
_DIAGONALS = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])


class TaskTeams:
    """The team of a task, in random order; the enemy mirrors it.

    Units that it lacks for a whole team are filled up, since SMACv2 waits for all of them; they are
    named `surplus`, by their places in the team, and removed before the episode begins.
    """

    def __init__(self, config: Mapping[str, Any]):
        """Args: config: `teams`, names of the units of each task; `n_units`; `env_key`."""
        self.config, self.env_key = config, config["env_key"]
        self.task = 0
        self.rng = np.random.default_rng(0)

    def generate(self) -> dict[str, Any]:
        """See `smacv2.env.starcraft2.distributions.Distribution`."""
        units = list(self.config["teams"][self.task])
        n_units = self.config["n_units"]
        filled = units + units[:1] * (n_units - len(units))
        order = self.rng.permutation(n_units)
        team = [filled[i] for i in order]
        surplus = np.flatnonzero(order >= len(units)).tolist()
        drawn = {"ally_team": team, "enemy_team": list(team), "id": self.task, "surplus": surplus}
        return {self.env_key: drawn}

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return len(self.config["teams"])


class TaskStarts:
    """Start positions of a task, on the part of the map that `dist_ratio` names.

    With a `dist_ratio` of 1 `surrounded` and `reflected` are SMACv2's own.
    """

    def __init__(self, config: Mapping[str, Any]):
        """Args: config: `starts`, of each task; `n_units`, `map_x`, `map_y`, `dist_ratio`."""
        self.config, self.n_units = config, config["n_units"]
        self.centre = np.array([config["map_x"], config["map_y"]]) / 2
        self.extent = self.centre * config["dist_ratio"]
        self.task = 0
        self.rng = np.random.default_rng(0)

    def generate(self) -> dict[str, Any]:
        """See `smacv2.env.starcraft2.distributions.Distribution`."""
        start = self.config["starts"][self.task]
        if start == "reflected":
            allies = self._left()
            enemies = np.column_stack([2 * self.centre[0] - allies[:, 0], allies[:, 1]])
        else:
            allies, enemies = np.tile(self.centre, (self.n_units, 1)), self._around()
            if start == "surrounding":
                allies, enemies = enemies, allies
        return {
            "ally_start_positions": {"item": allies, "id": self.task},
            "enemy_start_positions": {"item": enemies, "id": self.task},
        }

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return len(self.config["starts"])

    def _left(self) -> np.ndarray:
        """Uniform positions [A, 2] left of the middle."""
        low = self.centre - self.extent
        high = np.array([self.centre[0] - REFLECTED_GAP, self.centre[1] + self.extent[1]])
        return self.rng.uniform(low, high, (self.n_units, 2))

    def _around(self) -> np.ndarray:
        """Positions [A, 2] in one to four groups, each on a diagonal of its own.

        A group's point is uniform between `NEAREST_GROUP` and the extent; each unit joins one of
        the groups with equal chance, so a group may stay empty.
        """
        n_groups = int(self.rng.integers(1, len(_DIAGONALS) + 1))
        directions = self.rng.permutation(_DIAGONALS)[:n_groups]
        share = self.rng.uniform(size=(n_groups, 1))
        points = directions * (NEAREST_GROUP * share + self.extent * (1 - share))
        return self.centre + points[self.rng.integers(n_groups, size=self.n_units)]


def seed_episode(distributions: Mapping[str, Any], task: int, seed: Sequence[int]) -> None:
    """Seed all that SMACv2 draws an episode from, and say which task it is to have.

    Its distributions make their generators without a seed; they, and the environment, also draw
    from those of the modules `random` and `numpy.random`.
    """
    rng = np.random.default_rng(seed)
    random.seed(int(rng.integers(2**63)))
    np.random.seed(int(rng.integers(2**32)))
    for distribution in distributions.values():
        _seed(distribution, rng)
        distribution.task = task


def _seed(distribution: Any, rng: np.random.Generator) -> None:
    """Seed a distribution's generator, and those of the distributions that it consists of."""
    if hasattr(distribution, "rng"):
        distribution.rng = np.random.default_rng(int(rng.integers(2**63)))
    for part in vars(distribution).values():
        if hasattr(part, "generate"):
            _seed(part, rng)
