"""Env steps per second of a whole training: playing, learning, labelling."""

import time
from typing import Any

from benchmarks.harness import Effort, Figure, figure, repeatedly
from benchmarks.reference_learner import ReferenceLearner
from benchmarks.subjects import device, make_labels, make_learner, smax
from trama.config.model import Train
from trama.learning.trainer import Trainer

TARGET = {"qmix": 3_500.0, "trama": 2_000.0}
REFERENCE = "the same training with the learner that loops over time steps"
N_ENVS = 128
SPARSE = 256
"""Env steps per update of JaxMARL's trainer."""
EXPLORED_STEPS = 120
"""Steps of all environments, more than an episode has."""


class Training:
    """A training that has begun to learn, with episodes that end at different times.

    It explores all the while, so that episodes keep their length, and the VQ-VAE learns as seldom
    as after the dense phase, in which a training spends few of its env steps.

    Args:
        env_steps_per_update: about how many; None for the default ratio.
        reference: whether the reference learner learns.
    """

    def __init__(
        self, algorithm: str, n_agents: int, env_steps_per_update: int | None, reference: bool
    ):
        config = Train.model_validate(
            {
                "n_envs": N_ENVS,
                "buffer_size": 1000,
                "epsilon_finish": 1.0,
                "vqvae_updates": {"dense_env_steps": 0},
            }
        )
        env = smax(N_ENVS, n_agents)
        learner: Any = make_learner(algorithm, env.spec, config)
        if reference:
            learner = ReferenceLearner(learner)
        labels = make_labels(env.spec, config) if algorithm == "trama" else None
        trainer = Trainer(env, learner, config, labels, 0, 0, device())
        self.trainer, self.env_steps, self.updates = trainer, 0, 0
        for _ in range(2):
            before = trainer.episodes  # of the second time: all began together at first
            for _ in range(EXPLORED_STEPS):
                trainer.play_random()
        if labels is not None:
            labels.label(trainer.replay, trainer.replay.finished, device())
        if env_steps_per_update is not None:
            length = EXPLORED_STEPS * N_ENVS / (trainer.episodes - before)
            episodes = max(round(env_steps_per_update / length), 1)
            trainer.config = config.model_copy(update={"episodes_per_update": episodes})
        while trainer.updates == 0:
            trainer.step()

    def rate(self, seconds: float) -> float:
        """Env steps per second over at least so many seconds."""
        trainer, start = self.trainer, time.perf_counter()
        env_steps, updates = trainer.env_steps, trainer.updates
        while time.perf_counter() - start < seconds:
            trainer.step()
        played = trainer.env_steps - env_steps
        self.env_steps += played
        self.updates += trainer.updates - updates
        return played / (time.perf_counter() - start)


def compare(
    algorithm: str, n_agents: int, env_steps_per_update: int | None, effort: Effort
) -> Figure:
    """The training beside the same one with the reference learner."""
    ours = Training(algorithm, n_agents, env_steps_per_update, reference=False)
    other = Training(algorithm, n_agents, env_steps_per_update, reference=True)
    seconds = 2 * effort.seconds
    rates = repeatedly(lambda: ours.rate(seconds), lambda: other.rate(seconds), effort.repeats)
    ratio = ours.env_steps / max(ours.updates, 1)
    return figure(
        "training",
        f"{algorithm}, {n_agents} agents, {ratio:.0f} env steps per update, {N_ENVS} environments",
        "env steps/s",
        rates,
        reference=REFERENCE,
        target=TARGET.get(algorithm) if n_agents == 5 and env_steps_per_update else None,
    )


def measure(effort: Effort) -> list[Figure]:
    """One update per 256 env steps, the default ratio, and more agents."""
    cases: list[tuple[str, int, int | None]] = [
        ("qmix", 5, SPARSE),
        ("trama", 5, SPARSE),
        ("qmix", 5, None),
        ("trama", 5, None),
        ("trama", 10, SPARSE),
    ]
    if effort.large:
        cases.append(("trama", 20, SPARSE))
    return [compare(*case, effort) for case in cases]
