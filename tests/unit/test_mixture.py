"""Mixtures of tasks between which a training shifts."""

import numpy as np
import pytest

from fakes import make_trainer, random_env, small_train
from trama.config.model import MixtureShift
from trama.environments.base import equal_chances
from trama.learning.mixture import shift_mixture, shifted_mixtures


@pytest.mark.parametrize("n_tasks", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("amount", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_two_mixtures_are_as_far_apart_as_they_should(n_tasks: int, amount: float) -> None:
    first, second = mixtures = shifted_mixtures(n_tasks, amount)
    for chances in mixtures:
        assert chances.sum() == pytest.approx(1) and chances.min() >= 0
    assert np.abs(first - second).sum() / 2 == pytest.approx(amount)
    assert ((first > 0) & (second > 0)).all() == (amount < 1)
    if amount == 1:
        assert not (first * second).any()
    if n_tasks % 2 == 0:  # nothing changes on the whole
        np.testing.assert_allclose((first + second) / 2, equal_chances(n_tasks))


def test_halves_are_neighbours_in_the_order_of_the_tasks() -> None:
    first, second = shifted_mixtures(5, 0.5)
    np.testing.assert_allclose(first, [0.35, 0.35, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(second, [0.1, 0.1, 0.1 + 0.5 / 3, 0.1 + 0.5 / 3, 0.1 + 0.5 / 3])


def test_mixtures_take_turns() -> None:
    env, settings = random_env(4), MixtureShift(amount=0.6, interval_env_steps=100)
    mixtures = shifted_mixtures(3, 0.6)
    for env_steps, due in ((0, 0), (96, 0), (100, 1), (196, 1), (200, 0), (399, 1)):
        shift_mixture(env, settings, env_steps)
        assert env._chances is not None
        np.testing.assert_allclose(env._chances, mixtures[due])


def test_without_a_shift_nothing_is_drawn_in_another_way() -> None:
    env = random_env(4)
    shift_mixture(env, MixtureShift(), 0)
    assert env._chances is None


def test_trained_tasks_come_as_often_as_the_mixtures_say() -> None:
    env, settings = random_env(4), MixtureShift(amount=0.8, interval_env_steps=4000)
    shift_mixture(env, settings, 0)
    trainer = make_trainer(env, "vdn", small_train(buffer_size=4000), None, seed=0)
    while trainer.env_steps < 4000:
        trainer.play_random()
    slots = trainer.replay.finished
    counts = np.bincount(trainer.replay.task[slots], minlength=3)
    expected = shifted_mixtures(3, 0.8)[0]
    spread = np.sqrt(len(slots) * expected * (1 - expected))
    assert (np.abs(counts - len(slots) * expected) < 4.5 * spread).all()
