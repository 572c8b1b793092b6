"""Policies that learn small games to optimality, exploring at random and played greedily."""

import pytest
import torch

from fakes import (
    CLASS_SPEC,
    CPU,
    TWO_STEP_SPEC,
    ClassGame,
    FakeEnv,
    TwoStepGame,
    cluster_labels,
    make_trainer,
    played_replay,
    replay_statistics,
    small_cluster,
    small_train,
)
from trama.config.model import MixerName, QMix, QPlex, Representation
from trama.learning.diagnosis import predictor_accuracy
from trama.learning.rollout import Episodes, play_episodes
from trama.learning.trainer import Trainer

SETTINGS: dict[str, object] = {
    "n_envs": 8,
    "batch_size": 32,
    "buffer_size": 500,
    "episodes_per_update": 4,
    "learning_rate": 3e-3,
    "gamma": 0.99,
    "hidden_size": 16,
    "target_update_episodes": 80,
    "epsilon_finish": 1.0,
    "qmix": QMix(mixing_size=8, hypernet_size=16),
    "qplex": QPlex(heads=2, mixing_size=8, hypernet_size=16, kernels=4),
    "clustering": {"first_env_steps": 1500, "interval_env_steps": 3000},
}


def _episodes(trainer: Trainer, env: FakeEnv) -> Episodes:
    return Episodes.of(*play_episodes(env, trainer.learner.policy, 16, 123, CPU))


def _learn_two_steps(mixer: MixerName, seed: int, updates: int) -> Trainer:
    env = FakeEnv(TWO_STEP_SPEC, 8, TwoStepGame)
    trainer = make_trainer(env, mixer, small_train(**SETTINGS), None, seed)
    while trainer.updates < updates:
        trainer.step()
    return trainer


@pytest.mark.parametrize("mixer", ["qmix", "qplex"])
def test_two_step_game(mixer: MixerName) -> None:
    """The safe branch pays 7, coordination in the other one 8."""
    trainer = _learn_two_steps(mixer, seed=0, updates=600)
    played = _episodes(trainer, FakeEnv(TWO_STEP_SPEC, 8, TwoStepGame))
    assert (played.episode_return == 8.0).all()


def test_an_additive_value_takes_the_safe_branch() -> None:
    """What makes the game a test of the mixers above: VDN cannot represent its payoff."""
    trainer = _learn_two_steps("vdn", seed=0, updates=300)
    played = _episodes(trainer, FakeEnv(TWO_STEP_SPEC, 8, TwoStepGame))
    assert (played.episode_return == 7.0).all()


def test_same_seed_same_player() -> None:
    first, second = (_learn_two_steps("qplex", seed=3, updates=30) for _ in range(2))
    weights = [list(t.learner.policy.state_dict().values()) for t in (first, second)]
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


@pytest.mark.parametrize("embedding", ["mean_state", "quantised"])
def test_game_of_hidden_classes(embedding: str) -> None:
    """The class must be inferred at the first step and remembered; blind play earns 1.8 of 3."""
    env = FakeEnv(CLASS_SPEC, 8, ClassGame)
    config = small_train(**SETTINGS | {"epsilon_finish": 0.3, "epsilon_anneal_steps": 4000})
    keys = {} if embedding == "mean_state" else {"n_codes": 16, "code_dim": 2}
    representation = Representation.model_validate({"embedding": embedding, "n_classes": 2, **keys})
    warm = played_replay(FakeEnv(CLASS_SPEC, 8, ClassGame), 60, seed=9)
    labels = cluster_labels(warm, representation, config, small_cluster(), seed=0)
    trainer = make_trainer(env, "qplex", config, labels, 1, replay_statistics(warm))
    clusterings = 0
    while trainer.updates < 350:
        trainer.step()
        clusterings += trainer.recluster() is not None
    assert clusterings >= 2
    replay, slots = play_episodes(
        FakeEnv(CLASS_SPEC, 8, ClassGame), trainer.learner.policy, 32, 5, CPU
    )
    played = Episodes.of(replay, slots)
    assert (played.episode_return == 3.0).all() and played.won.all()
    assert set(played.task.tolist()) == {0, 1}
    labels.label(replay, slots, CPU)
    accuracy = predictor_accuracy(replay.batch(slots, CPU))
    assert accuracy.overall == accuracy.balanced == 1.0
