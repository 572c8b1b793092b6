"""The loop: update ratio, exploration, target copies, repeatability, blindness to true tasks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from fakes import (
    CPU,
    cluster_labels,
    make_trainer,
    played_replay,
    random_env,
    small_cluster,
    small_train,
)
from trama.config.model import MixerName, Representation
from trama.data.parquet import Provenance
from trama.learning.build import save_weights
from trama.learning.history import History
from trama.learning.labels import TrueTaskLabels
from trama.learning.rollout import Episodes
from trama.learning.trainer import Trainer

PROVENANCE = Provenance("test", "train", "0123456789abcdef", 0, "0", "0")


@pytest.mark.parametrize("per_update", [1, 2, 5])
def test_update_ratio(per_update: int) -> None:
    trainer = make_trainer(
        random_env(4), "vdn", small_train(episodes_per_update=per_update), None, seed=0
    )
    while trainer.episodes < 60:
        before = trainer.episodes
        trainer.step()
        if trainer.episodes < 8:  # a batch
            assert trainer.updates == 0
            waiting = trainer.episodes
        assert before <= trainer.episodes
    assert trainer.updates == (trainer.episodes - waiting) // per_update


def test_exploration_rate() -> None:
    config = small_train(epsilon_start=0.9, epsilon_finish=0.1, epsilon_anneal_steps=200)
    trainer = make_trainer(random_env(4), "vdn", config, None, seed=0)
    for env_steps, epsilon in ((0, 0.9), (50, 0.7), (100, 0.5), (200, 0.1), (10_000, 0.1)):
        trainer.env_steps = env_steps
        assert trainer.epsilon == pytest.approx(epsilon)


def test_counts_and_phases() -> None:
    trainer = make_trainer(random_env(4), "qmix", small_train(), None, seed=0)
    finished = sum(len(trainer.step()) for _ in range(50))
    assert (trainer.env_steps, trainer.episodes) == (200, finished)
    assert set(trainer.timed.phases) == {"environment", "play", "update"}
    counts = {name: phase.count for name, phase in trainer.timed.phases.items()}
    assert counts == {"environment": 50, "play": 50, "update": trainer.updates}
    losses = trainer.losses.pop()
    assert set(losses) == {"td_loss", "q_mean", "grad_norm"}
    assert trainer.losses.pop() == {}


def test_random_play_learns_nothing_and_counts() -> None:
    trainer = make_trainer(random_env(4), "qmix", small_train(), None, seed=0)
    before = [p.clone() for p in trainer.learner.policy.parameters()]
    slots = np.concatenate([trainer.play_random() for _ in range(20)])
    assert len(slots) == len(set(slots.tolist())) == trainer.episodes >= 12
    assert trainer.updates == 0 and trainer.env_steps == 80
    after = trainer.learner.policy.parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    actions, available = trainer.replay.action[slots, 0], trainer.replay.available_actions[slots, 0]
    free = available.sum(2) > 1
    assert len(set(actions[free].tolist())) > 2


def test_target_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(random_env(4), "vdn", small_train(), None, seed=0)  # every 20 episodes
    copies: list[int] = []
    real = trainer.learner.update_target

    def copy() -> None:
        copies.append(trainer.episodes)
        real()

    monkeypatch.setattr(trainer.learner, "update_target", copy)
    while trainer.episodes < 150:
        trainer.step()
    # At the first moment after each 20 episodes; up to 4 end together.
    assert len(copies) == 7 and all(0 <= at - 20 * n < 4 for n, at in enumerate(copies, 1))


def test_collected_episodes_bring_updates_before_play(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two for an update and twenty for the targets, none for the VQ-VAE; exploration counts on."""
    env = random_env(4)
    collected = played_replay(env, 45, seed=3)
    representation = Representation(n_codes=24, code_dim=3, n_classes=3)
    labels = cluster_labels(collected, representation, small_train(), small_cluster(), seed=0)
    trainer = make_trainer(env, "vdn", small_train(), labels, seed=0, collect_env_steps=100)
    trainer.replay = collected
    labels.label(collected, collected.finished, CPU)
    copies: list[int] = []
    monkeypatch.setattr(trainer.learner, "update_target", lambda: copies.append(trainer.updates))
    trainer.unlearnt = 45
    while trainer.unlearnt:
        trainer.learn_collected()
    assert (trainer.updates, copies, trainer.env_steps) == (22, [10, 20], 0)
    assert "vqvae" not in trainer.timed.phases and "play" not in trainer.timed.phases
    assert trainer.epsilon == pytest.approx((1.0 + 0.05) / 2)


def test_every_finished_episode_has_its_label_before_it_is_learnt_from() -> None:
    env = random_env(4)
    trainer = make_trainer(env, "vdn", small_train(), TrueTaskLabels(3), seed=0)
    while trainer.episodes < 30:
        trainer.step()
    slots = trainer.replay.finished
    assert np.array_equal(trainer.replay.label[slots], trainer.replay.task[slots])
    assert set(trainer.timed.phases) == {*("environment", "play", "label", "update", "predictor")}
    assert trainer.timed.phases["predictor"].count == trainer.updates > 0


def test_the_vqvae_follows_every_update_at_first_and_then_every_so_many_episodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = random_env(4)
    config = small_train(
        episodes_per_update=1, vqvae_updates={"interval_episodes": 7, "dense_env_steps": 100}
    )
    labels = cluster_labels(played_replay(env, 30, seed=5), QUANTISED, config, small_cluster(), 0)
    trainer = make_trainer(env, "vdn", config, labels, seed=0)
    updates: list[tuple[int, int]] = []
    followed: list[tuple[int, int]] = []
    vqvae = labels.embedding.vqvae
    assert vqvae is not None
    update, loss = trainer.learner.update, vqvae.loss

    def watched_update(batch: Any) -> Any:
        updates.append((trainer.env_steps, trainer.episodes))
        return update(batch)

    def watched_loss(*arguments: Any) -> Any:
        followed.append((trainer.env_steps, trainer.episodes))
        return loss(*arguments)

    monkeypatch.setattr(trainer.learner, "update", watched_update)
    monkeypatch.setattr(vqvae, "loss", watched_loss)
    while trainer.env_steps < 400:
        trainer.step()
    expected = [at for at in updates if at[0] <= 100]
    assert len(expected) > 5
    for at in updates[len(expected) :]:
        if at[1] - expected[-1][1] >= 7:
            expected.append(at)
    assert followed == expected
    assert 5 < sum(env_steps > 100 for env_steps, _ in followed) < len(updates) / 4


# --- whole trainings -----------------------------------------------------------------------------

QUANTISED = Representation(n_codes=24, code_dim=3, n_classes=3)
MEAN_STATE = Representation(embedding="mean_state", n_classes=3)


def _train(
    folder: Path,
    representation: Representation | None,
    report: Callable[[int, int], int] | None = None,
    seed: int = 0,
    mixer: MixerName = "qplex",
) -> tuple[Trainer, History]:
    """300 env steps with everything that the method has; writes the policy and the history."""
    folder.mkdir()
    config = small_train()
    env = random_env(4, report)
    labels: Any = TrueTaskLabels(3)
    if representation is not None:
        warm = played_replay(random_env(4, report), 30, seed=seed + 50)
        labels = cluster_labels(warm, representation, config, small_cluster(), seed)
    trainer = make_trainer(env, mixer, config, labels, seed)
    history = History()
    clusterings = 0
    while trainer.env_steps < 300:
        trainer.step()
        clustering = trainer.recluster()
        history.at(trainer.env_steps, trainer.updates, trainer.episodes)
        if clustering is not None:
            clusterings += 1
            for name in ("silhouette", "label_consistency"):
                history.add(name, clustering.metrics[name])
        for name, value in trainer.losses.pop().items():
            history.add(name, value)
    assert clusterings == (2 if representation is not None else 0)
    history.add_episodes(
        "train", Episodes.of(trainer.replay, trainer.replay.finished), ("a", "b", "c")
    )
    save_weights(trainer.learner.policy, folder / "policy.pt")
    history.write(folder / "history.parquet", PROVENANCE)
    return trainer, history


def _weights(trainer: Trainer) -> list[torch.Tensor]:
    modules = [trainer.learner.policy, trainer.learner.mixer]
    if getattr(trainer.labels, "embedding", None) is not None:
        modules += [trainer.labels.embedding, trainer.labels.classifier]  # type: ignore[union-attr]
    return [weight for module in modules for weight in module.state_dict().values()]


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _losses(history: History) -> list[list[float]]:
    names = ("td_loss", "predictor_loss", "vqvae_loss", "vqvae_coverage", "grad_norm", "silhouette")
    return [history.values(name) for name in names]


@pytest.mark.parametrize("mixer", get_args(MixerName))
def test_two_runs_give_equal_bytes(mixer: MixerName, tmp_path: Path) -> None:
    _train(tmp_path / "a", QUANTISED, mixer=mixer)
    _train(tmp_path / "b", QUANTISED, mixer=mixer)
    _train(tmp_path / "c", QUANTISED, mixer=mixer, seed=1)
    first, again, other = (_files(tmp_path / name) for name in "abc")
    assert first == again and set(first) == {"policy.pt", "history.parquet"}
    assert all(first[name] != other[name] for name in first)


@pytest.mark.parametrize("representation", [QUANTISED, MEAN_STATE])
@pytest.mark.parametrize(
    "report",
    [lambda number, task: (task + 1) % 3, lambda number, task: number * 7 % 5 % 3],
    ids=["permuted", "unrelated"],
)
def test_no_loss_reads_the_true_task(
    representation: Representation, report: Callable[[int, int], int], tmp_path: Path
) -> None:
    trainer, history = _train(tmp_path / "a", representation)
    other, others = _train(tmp_path / "b", representation, report)
    tasks, disguised = (t.replay.task[t.replay.finished] for t in (trainer, other))
    assert (tasks != disguised).mean() > 0.5
    for a, b in zip(_weights(trainer), _weights(other), strict=True):
        assert torch.equal(a, b)
    assert _losses(history) == _losses(others)
    assert all(_losses(history)) == (representation == QUANTISED)  # mean_state has no VQ-VAE
    slots = trainer.replay.finished
    assert np.array_equal(trainer.replay.label[slots], other.replay.label[slots])


def test_the_oracle_does(tmp_path: Path) -> None:
    trainer, history = _train(tmp_path / "a", None)
    other, others = _train(tmp_path / "b", None, lambda number, task: (task + 1) % 3)
    assert not all(
        torch.equal(a, b) for a, b in zip(_weights(trainer), _weights(other), strict=True)
    )
    assert history.values("predictor_loss") != others.values("predictor_loss")
