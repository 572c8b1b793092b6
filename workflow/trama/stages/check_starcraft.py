"""Check that StarCraft II runs where a job does, by playing a little; and how fast it is."""

import json
import logging
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from trama.config.backends import Env
from trama.config.params import CheckStarcraftParams, RunSettings
from trama.config.problems import Problem, ScenarioProblem
from trama.environments.smacv2 import find_game, make_smacv2
from trama.errors import TramaError
from trama.tasks import tasks_of

logger = logging.getLogger("trama")

PACKAGES = ("SMACv2", "PySC2", "s2clientprotocol", "protobuf", "numpy")
LEAST_STEPS = 200
"""Env steps that are played, at least."""
LEAST_SECONDS = 10.0
"""For how long, at least."""


def check_starcraft(
    params: CheckStarcraftParams, *, starcraft: Path, run_settings: RunSettings
) -> None:
    """Write what is installed, and the speed of a game, as JSON.

    Raises:
        TramaError: something is missing, or the game fails.
    """
    found = played(params.problem, run_settings.of(params.env))
    for line in lines(found):
        logger.info("%s", line)
    starcraft.write_text(json.dumps(found, indent=1) + "\n")


def played(problem: Problem, env: Env) -> dict[str, Any]:
    """What is installed on this machine, and how it went with one game of random actions.

    Raises:
        TramaError: something is missing, or the game fails.
    """
    assert not isinstance(problem, ScenarioProblem), "the configuration lets no such kind pass"
    settings = env.smacv2
    tasks = tasks_of(problem)
    rng = np.random.default_rng(0)
    with make_smacv2(problem, settings, 1, tasks) as game:
        installed = find_game(settings.game_version)
        begin = time.monotonic()
        seen = game.reset(0)
        started = time.monotonic()
        game_version = game.version()
        steps = episodes = 0
        while steps < LEAST_STEPS or time.monotonic() - started < LEAST_SECONDS:
            available = seen.available_actions
            step = game.step((rng.random(available.shape) * available).argmax(-1))
            seen = step.observation
            steps += 1
            episodes += int(step.terminated[0] or step.truncated[0])
        seconds = time.monotonic() - started
        if game.lost_episodes:
            raise TramaError(
                f"StarCraft II runs on {platform.node()}, but failed {game.lost_episodes} times in "
                f"{steps} env steps; the warnings above say how."
            )
    return {
        "node": platform.node(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "protobuf": _protobuf(),
        "folder": str(installed.folder),
        "game": game_version,
        "maps": sorted(path.stem for path in installed.map.parent.glob("*.SC2Map")),
        "start_seconds": round(started - begin, 1),
        "env_steps": steps,
        "episodes": episodes,
        "env_steps_per_second": round(steps / seconds, 1),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """What `played` found, for people."""
    packages = ", ".join(f"{name} {number}" for name, number in found["packages"].items())
    slow = found["protobuf"] == "python"
    return [
        f"StarCraft II {found['game']} in {found['folder']}, on {found['node']}",
        f"Python {found['python']}, {packages}",
        f"protobuf's implementation: {found['protobuf']}"
        + (" - slow: envs/smacv2.yaml has a compiled one" if slow else ""),
        f"maps: {', '.join(found['maps'])}",
        f"one game started in {found['start_seconds']:g} s and took {found['env_steps']} env steps "
        f"({found['episodes']} whole episodes), {found['env_steps_per_second']:g} per second",
    ]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def _protobuf() -> str:
    """How protobuf is implemented: cpp and upb are compiled, python is not."""
    from google.protobuf.internal import api_implementation

    implementation: str = api_implementation.Type()
    return implementation
