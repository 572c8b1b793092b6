"""The stages one after the other on a small environment: repeatable, blind to tasks, complete."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chain import (
    CHOSEN,
    MEAN_STATE,
    QUANTISED,
    SPEC,
    UseEnv,
    files_of,
    history_of,
    honest,
    run_chain,
    run_cluster,
    run_collect,
    run_evaluate,
    run_pretrain,
    run_train,
)
from fakes import CPU
from trama.config.model import Representation
from trama.config.params import RunSettings
from trama.data.parquet import column_matrix, read_table
from trama.learning.model import TrainedModel
from trama.learning.replay import Batch, ReplayBuffer


@pytest.mark.parametrize("representation", [QUANTISED, MEAN_STATE, CHOSEN])
def test_two_runs_of_the_chain_give_equal_bytes(
    representation: Representation, use_env: UseEnv, tmp_path: Path
) -> None:
    use_env(honest)
    for name in "ab":
        run_chain(tmp_path / name, representation)
    first, again = files_of(tmp_path / "a"), files_of(tmp_path / "b")
    assert first == again
    assert len(first) == (15 if representation == MEAN_STATE else 17)


@pytest.mark.parametrize("representation", [QUANTISED, MEAN_STATE, CHOSEN])
def test_the_chain_is_blind_to_the_true_task(
    representation: Representation, use_env: UseEnv, tmp_path: Path
) -> None:
    for name, report in (("a", honest), ("b", lambda number, task: number * 7 % 5 % 3)):
        use_env(report)
        run_chain(tmp_path / name, representation)
    first, other = files_of(tmp_path / "a"), files_of(tmp_path / "b")
    assert first["trajectories.parquet"] != other["trajectories.parquet"]
    weights = [name for name in first if name.endswith(".pt")]
    assert len(weights) == (4 if representation == MEAN_STATE else 5)
    policies = ("policy_last.pt", "policy_best.pt")
    blind = {*weights, "state_statistics.parquet", "centroids.parquet"} - {*policies}
    assert all(first[name] == other[name] for name in blind)
    # A policy's file says which class stands for which task; all else in it is blind.
    for name in policies:
        models = [TrainedModel.load(tmp_path / run / name, CPU) for run in "ab"]
        assert all(model.class_of_task.keys() == {*SPEC.tasks} for model in models)
        for run, model in zip("ab", models, strict=True):
            replace(model, class_of_task={}).save(tmp_path / run / name)
        assert len({(tmp_path / run / name).read_bytes() for run in "ab"}) == 1
    a, b = history_of(tmp_path / "a"), history_of(tmp_path / "b")
    assert a.keys() == b.keys() and len(a["silhouette"]) >= 2
    assert {name for name in a if a[name] != b[name]} <= {"ari", "nmi"}


def test_a_mixture_that_shifts_is_that_of_training_alone(use_env: UseEnv, tmp_path: Path) -> None:
    made = use_env(honest)
    run_collect(tmp_path)
    played: dict[float, dict[str, list[set[str]]]] = {}
    for amount in (0.0, 1.0):
        made.clear()
        shift = {"amount": amount, "interval_env_steps": 100}
        run_train(tmp_path, None, mixture_shift=shift)
        rows = read_table(tmp_path / "history.parquet", "history").to_pandas()
        rows = rows[rows["task"].notna()]
        played[amount] = {
            metric: [set(of["task"]) for _, of in own.groupby("env_steps")]
            for metric, own in rows.groupby("metric")
        }
        training, test = made
        assert test._chances is None
        assert (training._chances is None) == (amount == 0)
    everything = {*SPEC.tasks}
    assert played[0.0]["train_win_rate"] == [everything] * 3
    first, second, third = played[1.0]["train_win_rate"]
    assert first == {SPEC.tasks[0]}
    # Episodes that were running at the shift went on.
    assert second - first == everything - first and SPEC.tasks[0] in third
    assert played[0.0]["test_win_rate"] == played[1.0]["test_win_rate"]


FORETOLD = Representation.model_validate(
    {"embedding": "mean_state", "class_number": {"criterion": "foretold", "most": 5}}
)


@pytest.mark.parametrize(("representation", "warm_start"), [(CHOSEN, True), (FORETOLD, False)])
def test_a_training_with_a_number_of_classes_that_is_chosen(
    representation: Representation, warm_start: bool, use_env: UseEnv, tmp_path: Path
) -> None:
    use_env(honest)
    run_chain(tmp_path / "a", representation)
    run_train(tmp_path / "a", representation, warm_start=warm_start)
    history = history_of(tmp_path / "a")
    chosen = history["n_classes"]
    assert [at for at, _ in chosen] == [at for at, _ in history["silhouette"]] and len(chosen) > 1
    assert all(2 <= k <= 5 for _, k in chosen)
    table = read_table(tmp_path / "a" / "train_embeddings.parquet", "embeddings").to_pandas()
    found = table.groupby("env_steps")["label"].nunique()
    assert list(found.items()) == chosen
    model = TrainedModel.load(tmp_path / "a" / "policy_last.pt", CPU)
    in_use = model.policy.classes.tolist()
    last = table[table["env_steps"] == table["env_steps"].max()]
    assert in_use == sorted(last["label"].unique())
    assert model.policy.sizes.n_classes == 5
    assert model.representation is not None
    assert len(model.representation.centroids) == len(in_use)
    run_evaluate(tmp_path / "a", tmp_path / "episodes.parquet")
    episodes = read_table(tmp_path / "episodes.parquet", "episodes").to_pandas()
    assert set(episodes[episodes["policy"] == "last"]["class"]) <= set(in_use)
    given = read_table(tmp_path / "episodes_given_classes.parquet", "given_classes").to_pandas()
    assert set(given[given["policy"] == "last"]["class"]) <= set(in_use)
    steps = read_table(tmp_path / "episodes_predictions.parquet", "predictions").to_pandas()
    steps = steps[(steps["policy"] == "last") & (steps["metric"] == "class_probability")]
    probability = steps.groupby("class")["value"].max()
    assert set(probability.index[probability > 0]) == set(in_use)
    entropy = episodes[episodes["policy"] == "last"]["entropy"]
    assert entropy.between(0, 1 + 1e-6).all()


def test_the_oracle_is_not_blind(use_env: UseEnv, tmp_path: Path) -> None:
    for name, report in (("a", honest), ("b", lambda number, task: (task + 1) % 3)):
        use_env(report)
        (tmp_path / name).mkdir()
        run_collect(tmp_path / name)
        run_train(tmp_path / name, None, "true_task")
    first, other = files_of(tmp_path / "a"), files_of(tmp_path / "b")
    assert first["policy_last.pt"] != other["policy_last.pt"]
    history = history_of(tmp_path / "a")
    assert {"predictor_balanced_accuracy", "majority_rate"} <= history.keys()
    assert history["predictor_accuracy"][0][0] == 250  # it goes on from stage collect


@pytest.mark.parametrize("buffer_size", [64, 8])
def test_every_collected_episode_is_whole_whatever_the_buffer_holds(
    buffer_size: int, use_env: UseEnv, tmp_path: Path
) -> None:
    made = use_env(honest)
    run_collect(tmp_path, buffer_size=buffer_size, random_episodes=20)
    table = read_table(tmp_path / "trajectories.parquet", "trajectories")
    episode = table["episode"].to_numpy()
    step = table["step"].to_numpy()
    assert np.array_equal(np.unique(episode), np.arange(episode.max() + 1))
    lengths = np.bincount(episode) - 1
    assert lengths.tolist() == made[0].lengths
    assert np.array_equal(step, np.concatenate([np.arange(n + 1) for n in lengths]))
    final = column_matrix(table, "actions")[:, 0] == -1
    assert np.array_equal(np.flatnonzero(final), np.cumsum(lengths + 1) - 1)
    ended = table["terminated"].to_numpy() | table["truncated"].to_numpy()
    assert np.array_equal(np.flatnonzero(ended), np.cumsum(lengths + 1) - 2)
    # the statistics are those of exactly these rows
    statistics = read_table(tmp_path / "state_statistics.parquet", "state_statistics")
    kind = zip(statistics["source"].to_pylist(), statistics["states"].to_pylist(), strict=True)
    chosen = np.array([each == ("all", "standardised") for each in kind])
    states = column_matrix(table, "state").astype(np.float64)
    np.testing.assert_allclose(statistics["mean"].to_numpy()[chosen], states.mean(0), rtol=1e-4)


def test_train_returns_are_of_all_episodes_whatever_the_buffer_holds(
    use_env: UseEnv, tmp_path: Path
) -> None:
    use_env(honest)
    run_collect(tmp_path)
    found = []
    for buffer_size in (64, 8):  # more episodes than 8 end between two tests
        run_train(tmp_path, None, buffer_size=buffer_size, episodes_per_update=1000)
        history = history_of(tmp_path)
        assert "td_loss" not in history  # without updates both runs play the same
        found.append(history["train_return"])
    assert found[0] == found[1] and len(found[0]) == 3


def test_env_steps_of_collect_count_where_its_classes_are_used(
    use_env: UseEnv, tmp_path: Path
) -> None:
    use_env(honest)
    run_chain(tmp_path / "a", MEAN_STATE)
    steps = [env_steps for env_steps, _ in history_of(tmp_path / "a")["test_return"]]
    assert steps == [250, 350, 450, 550]
    run_train(tmp_path / "a", None)
    steps = [env_steps for env_steps, _ in history_of(tmp_path / "a")["test_return"]]
    assert steps == [0, 100, 200, 300]


def test_a_cold_start_has_no_classes_before_its_first_clustering(
    use_env: UseEnv, tmp_path: Path
) -> None:
    use_env(honest)
    run_collect(tmp_path)
    for name in ("vqvae.pt", "centroids.parquet", "classifier.pt"):
        assert not (tmp_path / name).exists()
    run_train(tmp_path, QUANTISED, warm_start=False)
    history = history_of(tmp_path)
    assert [env_steps for env_steps, _ in history["test_return"]] == [0, 100, 200, 300]
    clustered = [env_steps for env_steps, _ in history["ari"]]
    assert clustered[0] >= 120  # first_env_steps
    # Nothing kept a label at the first clustering, as there was none.
    assert [env_steps for env_steps, _ in history["label_consistency"]] == clustered[1:]
    assert [env_steps for env_steps, _ in history["predictor_accuracy"]] == [200, 300]
    # The VQ-VAE learns from the first updates on, with random classes.
    assert history["vqvae_loss"][0][0] == 100
    policy = TrainedModel.load(tmp_path / "policy_last.pt", CPU)
    assert policy.representation is not None and policy.representation.centroids.shape == (3, 3)
    run_train(tmp_path, QUANTISED, warm_start=False, env_steps=100)
    assert TrainedModel.load(tmp_path / "policy_last.pt", CPU).representation is None
    run_evaluate(tmp_path, tmp_path / "episodes.parquet")
    episodes = read_table(tmp_path / "episodes.parquet", "episodes")
    assert episodes["centroid_distance"].null_count == len(episodes)


@pytest.mark.parametrize("labels", [None, "true_task"], ids=["baseline", "oracle"])
def test_a_training_that_starts_with_the_collected_episodes_learns_from_them(
    labels: str | None, use_env: UseEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_env(honest)
    run_collect(tmp_path)
    replays: list[ReplayBuffer] = []
    updates: list[set[int]] = []
    told: list[np.ndarray] = []
    insert, sample = ReplayBuffer.insert, ReplayBuffer.sample

    def inserted(self: ReplayBuffer, *args: Any) -> np.ndarray:
        replays.append(self)
        slots = insert(self, *args)
        table = read_table(tmp_path / "trajectories.parquet", "trajectories").to_pandas()
        newest = list(table.groupby("episode"))[-self.capacity :]
        assert len(self) == len(newest) == 20
        for slot, (_, rows) in zip(slots, newest, strict=True):
            length = len(rows) - 1
            assert self.length[slot] == length
            obs = np.frombuffer(b"".join(rows["obs"]), np.float16)
            assert np.array_equal(self.obs[slot, : length + 1].ravel(), obs)
            assert self.action[slot, :length].tolist() == rows["actions"][:-1].map(list).tolist()
            reward = self.reward[slot, : length + 1]
            assert reward.tolist() == rows["reward"].astype(np.float32).tolist()
            assert self.won[slot] == rows["won"].any()
            assert self.terminated[slot] == rows["terminated"].any()
            assert SPEC.tasks[self.task[slot]] == rows["task"].iloc[0]
        return slots

    def sampled(self: ReplayBuffer, *args: Any) -> Batch:
        batch = sample(self, *args)
        updates.append(set(batch.slots.tolist()))
        if labels:
            assert np.array_equal(self.label[batch.slots], self.task[batch.slots])
            collected = self.finished[: max(0, 2 * 20 - self.n_finished)]
            told.append(np.intersect1d(collected, batch.slots))
            for slot in told[-1]:
                used = self.classes[slot, : self.length[slot] + 1]
                assert (used == self.label[slot]).all()
        return batch

    monkeypatch.setattr(ReplayBuffer, "insert", inserted)
    monkeypatch.setattr(ReplayBuffer, "sample", sampled)
    run_train(
        tmp_path,
        None,
        labels,
        start="replay",
        buffer_size=20,
        epsilon_anneal_steps=500,
    )
    assert len(replays) == 1 and len(updates) > 5
    assert not labels or len(np.concatenate(told)) > 5
    history = history_of(tmp_path)
    assert [env_steps for env_steps, _ in history["test_return"]] == [250, 350, 450, 550]
    # Exploration goes on from there, and the first test comes after the updates for 60 episodes.
    assert history["epsilon"][0][1] == pytest.approx((1.0 + 0.05) / 2)
    rows = read_table(tmp_path / "history.parquet", "history").to_pandas()
    assert rows["update"].min() == 30


@pytest.mark.parametrize("conditioning", ["input", "film", "hypernetwork"])
@pytest.mark.parametrize("average", [0.0, 0.9], ids=["weights", "averaged"])
def test_a_training_goes_on_from_the_networks_of_collect(
    average: float, conditioning: str, use_env: UseEnv, tmp_path: Path
) -> None:
    """With a learning rate of next to nothing it tests and keeps the agents of collect."""
    use_env(honest)
    run_collect(tmp_path)
    run_pretrain(tmp_path, QUANTISED)
    run_cluster(tmp_path, QUANTISED)
    run_train(
        tmp_path,
        QUANTISED,
        learning_rate=1e-12,
        weight_average_decay=average,
        class_representation={"hidden_size": 6, "size": 5, "conditioning": conditioning},
    )
    collected = torch.load(tmp_path / "learner.pt", weights_only=True)["networks"]
    for name in ("policy_last.pt", "policy_best.pt"):
        policy = TrainedModel.load(tmp_path / name, CPU).policy
        for key, weight in policy.agent.state_dict().items():
            assert torch.allclose(weight, collected[f"agent.{key}"], atol=1e-8), key
        told = policy.told()
        assert told is not None
        assert all(part is None or part.abs().max() < 1e-8 for part in told)
    history = history_of(tmp_path)
    assert [env_steps for env_steps, _ in history["test_return"]] == [250, 350, 450, 550]
    assert max(swap for _, swap in history["class_swap_effect"]) < 1e-6


@pytest.mark.parametrize(
    ("first", "then"), [("adam", "adam"), ("rmsprop", "rmsprop"), ("adam", "rmsprop")]
)
def test_mixer_and_optimiser_go_on_as_they_were(
    first: str, then: str, use_env: UseEnv, tmp_path: Path
) -> None:
    """Another optimiser starts afresh."""
    use_env(honest)
    run_collect(tmp_path, optimiser=first)
    settings = RunSettings(keep_checkpoint=True)
    run_train(
        tmp_path,
        None,
        run_settings=settings,
        start="collect",
        learning_rate=1e-12,
        optimiser=then,
    )
    (state,) = tmp_path.with_name(f"{tmp_path.name}_checkpoints").glob("*/state_*.pt")
    learner = torch.load(state, weights_only=True)["trainer"]["learner"]
    begun = torch.load(tmp_path / "learner.pt", weights_only=True)
    collected = begun["networks"]
    for name in ("mixer", "target_mixer", "scaler"):
        for key, weight in learner[name].items():
            of = name.removeprefix("target_")
            assert torch.allclose(weight, collected[f"{of}.{key}"], atol=1e-8), (name, key)
    before, own = (
        read_table(tmp_path / name, "history")["update"].to_numpy().max()
        for name in ("collect_history.parquet", "history.parquet")
    )
    steps = {int(moments["step"]) for moments in learner["optimiser"]["state"].values()}
    assert len(steps) == 1 and before > 10
    assert max(steps) - own in ((before, before + 1) if first == then else (0,))
    buffers = {"mixer.agent_features", "scaler.mean", "scaler.std"}
    assert begun["moments"].keys() == collected.keys() - buffers


def test_history_holds_what_the_classes_need(use_env: UseEnv, tmp_path: Path) -> None:
    use_env(honest)
    run_chain(tmp_path / "a", QUANTISED)
    measured = set(history_of(tmp_path / "a"))
    assert measured >= {
        *("test_return", "test_win_rate", "train_return", "train_win_rate", "epsilon"),
        *("td_loss", "grad_norm", "q_mean", "predictor_loss", "predictor_accuracy"),
        *("predictor_balanced_accuracy", "majority_rate", "vqvae_loss", "vqvae_coverage"),
        *("vqvae_reconstruction", "vqvae_vq", "vqvae_commitment", "codes_in_use"),
        *("label_consistency", "label_consistency_chance", "silhouette", "ari", "nmi"),
        *("class_swap_effect", "class_swap_actions"),
    }
    table = read_table(tmp_path / "a" / "train_embeddings.parquet", "embeddings")
    assert len(set(table["env_steps"].to_pylist())) == len(history_of(tmp_path / "a")["silhouette"])
    assert set(table["task"].to_pylist()) == set(SPEC.tasks)
    assert column_matrix(table, "embedding").shape == (table.num_rows, 3)
    use = read_table(tmp_path / "a" / "train_codebook.parquet", "codebook").to_pandas()
    codes = use.groupby("env_steps")["code"].nunique()
    assert list(codes.items()) == history_of(tmp_path / "a")["codes_in_use"]
    # As many clusterings, of the same tasks and classes.
    assert set(codes.index) == set(table["env_steps"].to_pylist())
    assert set(use["task"]) <= set(SPEC.tasks) and set(use["label"]) <= set(range(3))
