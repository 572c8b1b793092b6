"""Figures 3 and 9: env steps per second of a whole training: playing, learning, labelling."""

import copy
import time
from dataclasses import replace
from typing import Any

from benchmarks.harness import Effort, Figure, paired
from benchmarks.reference_learner import ReferenceLearner
from benchmarks.subjects import device, make_labels, make_learner, smax
from trama.config.model import Train
from trama.learning.trainer import Trainer

TARGET = {"qmix": 3_500.0, "trama": 2_000.0}
REFERENCE = "the same training with the learner that loops over time steps"
N_ENVS = 128
SPARSE = 6
"""Episodes per update: about 256 env steps at the start of a training, where episodes are short."""


class Training:
    """A training that has begun to learn."""

    def __init__(self, algorithm: str, n_agents: int, changes: dict[str, int], reference: bool):
        env = smax(N_ENVS, n_agents)
        config = Train.model_validate({"n_envs": N_ENVS, "buffer_size": 1000, **changes})
        learner: Any = make_learner(algorithm, env.spec, config)
        if reference:
            learner = ReferenceLearner(copy.copy(learner))
        labels = make_labels(env.spec, config) if algorithm == "trama" else None
        self.trainer = Trainer(env, learner, config, labels, 0, 0, device())
        while self.trainer.updates == 0:
            self.trainer.step()

    def rate(self, seconds: float) -> float:
        """Env steps per second over at least so many seconds."""
        trainer, start = self.trainer, time.perf_counter()
        before = trainer.env_steps
        while time.perf_counter() - start < seconds:
            trainer.step()
        return (trainer.env_steps - before) / (time.perf_counter() - start)


def compare(algorithm: str, n_agents: int, changes: dict[str, int], effort: Effort) -> Figure:
    """The training beside the same one with the reference learner."""
    ours = Training(algorithm, n_agents, changes, reference=False)
    other = Training(algorithm, n_agents, changes, reference=True)
    seconds = 2 * effort.seconds
    found = paired(
        "training",
        f"{algorithm}, {n_agents} agents",
        "env steps/s",
        lambda: ours.rate(seconds),
        effort,
        reference=(REFERENCE, lambda: other.rate(seconds)),
        target=TARGET.get(algorithm) if n_agents == 5 and changes else None,
    )
    trainer = ours.trainer
    ratio = trainer.env_steps / trainer.updates
    return replace(
        found, name=f"{found.name}, {ratio:.0f} env steps per update, {N_ENVS} environments"
    )


def measure(effort: Effort) -> list[Figure]:
    """One update per 256 env steps, the default ratio, and more agents."""
    sparse = {"episodes_per_update": SPARSE}
    cases: list[tuple[str, int, dict[str, int]]] = [
        ("qmix", 5, sparse),
        ("trama", 5, sparse),
        ("qmix", 5, {}),
        ("trama", 5, {}),
        ("trama", 10, sparse),
    ]
    if effort.large:
        cases.append(("trama", 20, sparse))
    return [compare(algorithm, agents, changes, effort) for algorithm, agents, changes in cases]
