"""A battle with the interface of SMACv2's environment, without a game."""

import random
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trama.environments.scenarios import TaskStarts, TaskTeams
from trama.environments.smacv2 import Plan

TYPES = ("stalker", "zealot", "colossus")


@dataclass
class FakeBattle:
    """Two teams of the plan; each step every living agent may beat one enemy.

    Attributes:
        lose_connection_at: step of the first episode of each process at which SMACv2 would tell of
            a lost connection: by an empty info, and in no other way.
    """

    plan: Plan
    folder: Path
    lose_connection_at: int | None = None
    n_fov_actions: int = 0
    episodes: int = 0
    seeds: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.n_agents = self.plan.team_size

    def start_anew(self, seed: int) -> None:
        self.seeds.append(seed)

    def running_version(self) -> str:
        return "1.2.3 (build 4)"

    def save_recording(self, path: Path) -> None:
        path.write_text(f"{self.episodes} episodes")

    def reset(self, episode_config: dict[str, Any]) -> tuple[list[np.ndarray], np.ndarray]:
        self.episodes += 1
        self.t = 0
        drawn = episode_config["team_gen"]
        self.types = [TYPES.index(name) for name in drawn["ally_team"]]
        surplus = set(drawn.get("surplus", []))
        self.allies = np.array([i not in surplus for i in range(self.n_agents)], float)
        self.enemies = self.allies.copy()
        self.positions = [episode_config[f"{s}_start_positions"]["item"] for s in ("ally", "enemy")]
        # What SMACv2 draws beside its distributions.
        self.noise = random.random(), float(np.random.rand())
        return self.get_obs(), self.get_state()

    def step(self, actions: list[int]) -> tuple[float, bool, dict[str, Any]]:
        self.t += 1
        if self.episodes == 1 and self.t == self.lose_connection_at:
            marker = self.folder / "lost"
            if not marker.exists():
                marker.touch()
                return 0, True, {}
        before = self.enemies.sum()
        for action in actions:
            if action >= 6:
                self.enemies[action - 6] = 0
        ended, info = False, {"battle_won": False, "dead_allies": 0}
        if not self.enemies.any():
            ended, info["battle_won"] = True, True
        elif self.t >= self.episode_limit:
            ended = info["episode_limit"] = True
        return float(before - self.enemies.sum()), ended, info

    episode_limit = 200

    def get_obs(self) -> list[np.ndarray]:
        return [np.array([self.t, i, *self.noise], np.float32) for i in range(self.n_agents)]

    def get_state(self) -> np.ndarray:
        rows = []
        sides = (self.allies, self.enemies)
        for lives, positions in zip(sides, self.positions, strict=True):
            for i, kind in enumerate(self.types):
                one_hot = np.eye(len(TYPES))[kind]
                unit = np.array([1.0, *(positions[i] / 32 - 0.5), *one_hot])
                rows.append(unit * lives[i])
        return np.concatenate(rows).astype(np.float32)

    def get_avail_actions(self) -> list[list[int]]:
        living = [0, 1, 1, 1, 1, 1, *self.enemies.astype(int).tolist()]
        dead = [1] + [0] * (len(living) - 1)
        return [living if alive else dead for alive in self.allies]

    def get_total_actions(self) -> int:
        return 6 + self.n_agents

    def get_obs_size(self) -> int:
        return 4

    def get_state_size(self) -> int:
        return 2 * self.n_agents * (3 + len(TYPES))

    def get_obs_feature_names(self) -> list[str]:
        return ["timestep", "own_health", "ally_relative_x_1", "enemy_unit_type_0_bit_2"]

    def get_state_feature_names(self) -> list[str]:
        names = []
        for side in ("ally", "enemy"):
            for i in range(self.n_agents):
                names += [f"{side}_health_{i}", f"{side}_relative_x_{i}", f"{side}_relative_y_{i}"]
                names += [f"{side}_unit_type_{i}_bit_{bit}" for bit in range(len(TYPES))]
        return names


def open_fake(
    folder: Path, lose_connection_at: int | None, plan: Plan
) -> tuple[FakeBattle, dict[str, Any]]:
    """What `trama.environments.smacv2.open_battle` makes of a plan, without a game."""
    capabilities = plan.capabilities()
    battle = FakeBattle(plan, folder, lose_connection_at)
    battle.episode_limit = plan.max_steps
    distributions = {
        "team_gen": TaskTeams(capabilities["team_gen"]),
        "start_positions": TaskStarts(capabilities["start_positions"]),
    }
    return battle, distributions


def opening(folder: Path, lose_connection_at: int | None = None) -> Any:
    """That function with a folder, for a process."""
    return partial(open_fake, folder, lose_connection_at)
