"""StarCraft II through the packages SMACv2 and PySC2: imported where the game runs, and only there.

SMACv2 is used as it is. What it makes of a lost connection is overridden in a subclass: it would
start the game again by itself and go on as if the episode had ended. The game is started through a
run configuration of PySC2 that this module adds.
"""

import ctypes
import os
import random
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pysc2.lib import sc_process
from pysc2.run_configs import platforms
from smacv2.env.starcraft2.distributions import get_distribution, register_distribution
from smacv2.env.starcraft2.maps.smac_maps import SMACMap
from smacv2.env.starcraft2.starcraft2 import CannotResetException, StarCraft2Env

from trama.environments.scenarios import STARTS, TEAMS, TaskStarts, TaskTeams
from trama.errors import TramaError

register_distribution(TEAMS, TaskTeams)
register_distribution(STARTS, TaskStarts)

MAP = "32x32_flat"
"""The map of all of SMACv2's random scenarios."""
PORTS = range(20_000, 32_000)
"""Ports that games listen on: below those that Linux hands out for outgoing connections."""
_REMOVAL_STEPS = 20
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class GameLost(Exception):
    """StarCraft II died, closed the connection, or refused a request."""


class Battle(StarCraft2Env):
    """SMACv2's environment for one process, whose episodes count whole or not at all.

    Attributes:
        max_reward: of the running episode, by which its reward is scaled. SMACv2 takes it from the
            first episode that a game plays, so that rewards would depend on which task that was.
    """

    def start_anew(self, seed: int) -> None:
        """Begin a new game with the next reset, in the running process where there is one."""
        self._seed = seed
        self._episode_count = 0

    def reset(self, episode_config: dict[str, Any]) -> tuple[Any, Any]:
        """Begin an episode; returns observations and state.

        Raises:
            GameLost: see there.
        """
        shown = super().reset(episode_config)
        surplus = episode_config["team_gen"].get("surplus", [])
        if surplus:
            self._remove(episode_config, surplus)
            self.enemy_tags = [None] * self.n_enemies
            self.obs_enemies = np.zeros((self.n_enemies, self.n_agents))
            shown = self.get_obs(), self.get_state()
        enemies = [unit for unit in self.enemies.values() if unit.health > 0]
        self.max_reward = self.reward_win + sum(
            self.reward_death_value + unit.health_max + unit.shield_max for unit in enemies
        )
        return shown

    def full_restart(self) -> None:
        """Called where the connection failed."""
        raise GameLost("StarCraft II was lost, or refused a request")

    def running_version(self) -> str:
        """What the game says of itself."""
        told = self._controller.ping()
        return f"{told.game_version} (build {told.base_build})"

    def save_recording(self, path: Path) -> None:
        """Write StarCraft II's replay of the game so far."""
        path.write_bytes(self._controller.save_replay())

    def _remove(self, episode_config: dict[str, Any], surplus: list[int]) -> None:
        """Let these places of both teams be dead from the first step."""
        team = episode_config["team_gen"]["ally_team"]
        allies = self._units_at(team, surplus, self.agents, self.ally_unit_map, "ally")
        enemies = self._units_at(team, surplus, self.enemies, self.enemy_unit_map, "enemy")
        tags = {self.agents[i].tag for i in allies} | {self.enemies[i].tag for i in enemies}
        self._kill_units(sorted(tags))
        for _ in range(_REMOVAL_STEPS):
            self._controller.step(1)
            self._obs = self._controller.observe()
            if not tags & {unit.tag for unit in self._obs.observation.raw_data.units}:
                break
        else:
            raise CannotResetException("units that the task lacks cannot be removed")
        self.update_units()
        # Nobody is to be rewarded for it.
        self.death_tracker_ally[allies] = 1
        self.death_tracker_enemy[enemies] = 1

    def _units_at(
        self, team: list[str], places: list[int], units: Any, types: dict[str, int], side: str
    ) -> list[int]:
        """Numbers of the units that were put at these places of a team.

        SMACv2 sorts units anew: a place's unit is the nearest of its type to where it was put.
        """
        positions = getattr(self, f"{side}_start_positions")
        found: list[int] = []
        for place in places:
            x, y = positions[place]
            alike = [
                (self.distance(x, y, unit.pos.x, unit.pos.y), number)
                for number, unit in units.items()
                if unit.unit_type == types[team[place]] and number not in found
            ]
            found.append(min(alike)[1])
        return found


class GuardedProcess(sc_process.StarcraftProcess):
    """A StarCraft II that has its port for itself and dies with the process that started it."""

    _proc: subprocess.Popen[bytes] | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._port_lock, port = reserve_port()
        super().__init__(*args, port=port, **kwargs)

    def _launch(self, run_config: Any, args: list[str], **kwargs: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            args, cwd=run_config.cwd, env=run_config.env, preexec_fn=_die_with_parent
        )

    def _shutdown(self) -> None:
        if self._proc:
            self._proc.kill()
            self._proc.wait()
            self._proc = None
        self._port_lock.close()


class GuardedLinux(platforms.Linux):
    """PySC2's run configuration for Linux, with one `GuardedProcess` for all games.

    Attributes:
        connect_seconds: for StarCraft II to answer after its start.
    """

    connect_seconds = 120
    _process: GuardedProcess | None = None

    @classmethod
    def priority(cls) -> int | None:
        """Comes before PySC2's own."""
        own = super().priority()
        return None if own is None else own + 1

    @property
    def executable(self) -> str:
        """StarCraft II's program."""
        build = f"Versions/Base{self.version.build_version:05d}"
        return os.path.join(self.data_dir, build, self._exec_name)

    def start(self, want_rgb: bool = True, **kwargs: Any) -> GuardedProcess:
        """Start the game; or hand out the one that runs, which can create games again and again."""
        running = GuardedLinux._process
        if running is not None and running.running:
            return running
        GuardedLinux._process = GuardedProcess(
            self,
            exec_path=self.executable,
            version=self.version,
            timeout_seconds=self.connect_seconds,
            **kwargs,
        )
        return GuardedLinux._process


class Installation(NamedTuple):
    """What is installed: its folder, the version of the game, and the map."""

    folder: Path
    version: str
    map: Path


def find_game(version: str | None = None) -> Installation:
    """Find StarCraft II and SMACv2's map.

    Args:
        version: such as "4.10.0"; None for the newest.

    Raises:
        TramaError: something is missing.
    """
    folder = Path(os.environ.get("SC2PATH", "~/StarCraftII")).expanduser()
    told = "docs/starcraft.md says how to install it."
    if not (folder / "Versions").is_dir():
        raise TramaError(
            f"env.backend: smacv2 needs StarCraft II, and there is none in {folder}. Set SC2PATH "
            f"to the folder that holds its folder Versions; {told}"
        )
    try:
        config = GuardedLinux(version)
    except (ValueError, OSError, sc_process.SC2LaunchError) as error:
        raise TramaError(
            f"env.smacv2.game_version: {version or 'the newest'} cannot be found in {folder} "
            f"({error})."
        ) from error
    if not os.access(config.executable, os.X_OK):
        raise TramaError(
            f"{config.executable}: StarCraft II's program is missing, or cannot be executed; {told}"
        )
    path = folder / "Maps" / SMACMap.directory / f"{MAP}.SC2Map"
    if not os.access(path, os.R_OK):
        raise TramaError(f"{path}: SMACv2's map is missing, or cannot be read; {told}")
    return Installation(folder, config.version.game_version, path)


def reserve_port() -> tuple[socket.socket, int]:
    """Find a port that nothing listens on, and keep other games of this machine away from it.

    Returns:
        What holds the port until it is closed, or its process dies; and the port. It is a name in
        the abstract namespace of Unix sockets, which only one process at a time can have, and
        which the same processes share that share ports.
    """
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0trama-starcraft-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        return lock, port
    raise GameLost(f"no port from {PORTS.start} to {PORTS.stop - 1} is free")


def make_distributions(capabilities: dict[str, Any]) -> dict[str, Any]:
    """SMACv2's distributions of a `capability_config`, by their keys."""
    return {
        key: get_distribution(config["dist_type"])(config)
        for key, config in capabilities.items()
        if isinstance(config, dict)
    }


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
