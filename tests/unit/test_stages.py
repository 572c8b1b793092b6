"""The stages one after the other on a small environment: repeatable, blind to tasks, complete."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fakes import RANDOM_SPEC, FakeEnv, Game, RandomGame, small_cluster, small_train
from trama.config.model import Collect, Env, Pretrain, Problem, Representation
from trama.config.params import (
    ClusterParams,
    CollectParams,
    PretrainParams,
    TrainParams,
)
from trama.data.parquet import Provenance, column_matrix, read_table
from trama.stages.cluster import cluster
from trama.stages.collect import collect
from trama.stages.pretrain import pretrain
from trama.stages.train import train

PROBLEM = Problem(units=("2s", "2z", "1s1z"), starts=("surrounded",))
SPEC = replace(RANDOM_SPEC, tasks=("2s surrounded", "2z surrounded", "1s1z surrounded"))
PROVENANCE = Provenance("test", "any", "0123456789abcdef", 0, "0", "0")
QUANTISED = Representation(n_codes=24, code_dim=3, n_classes=3, relabel_rounds=2)
MEAN_STATE = Representation(embedding="mean_state", n_classes=3)
PRETRAIN = Pretrain(updates=120, batch_size=8, learning_rate=1e-2, hidden_size=8)
Report = Callable[[int, int], int]


def _honest(number: int, task: int) -> int:
    return task


class _Env(FakeEnv):
    """Also keeps the lengths of the games that ended, in their order."""

    def __init__(self, n_envs: int, report: Report) -> None:
        super().__init__(SPEC, n_envs, self._open, report)
        self.lengths: list[int] = []

    def _open(self, rng: np.random.Generator) -> Game:
        env = self

        class Recorded(RandomGame):
            def act(self, actions: np.ndarray) -> tuple[float, bool, bool, bool]:
                result = super().act(actions)
                if result[1] or result[2]:
                    env.lengths.append(self.t)
                return result

        return Recorded(rng)


@pytest.fixture
def use_env(monkeypatch: pytest.MonkeyPatch) -> Callable[[Report], list[_Env]]:
    """Let the stages play in `_Env`, which reports tasks as it is told."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))

    def use(report: Report) -> list[_Env]:
        made: list[_Env] = []

        def make_env(problem: Problem, env: Env, n_envs: int, threads: int) -> _Env:
            made.append(_Env(n_envs, report))
            return made[-1]

        for stage in ("collect", "train"):
            monkeypatch.setattr(f"trama.stages.{stage}.make_env", make_env)
        return made

    return use


JOB: dict[str, object] = {
    "algorithm_version": 1,
    "study_seed": 0,
    "problem_name": "small",
    "seed": 0,
    "device": "cpu",
}
_SHARED = ("n_envs", "batch_size", "buffer_size", "episodes_per_update", "hidden_size", "qplex")


def _collect(folder: Path, **changes: object) -> None:
    shared = {key: getattr(small_train(), key) for key in _SHARED}
    section = Collect.model_validate(shared | {"random_episodes": 10, "env_steps": 250} | changes)
    collect(
        CollectParams.model_validate(JOB | {"problem": PROBLEM, "env": Env(), "collect": section}),
        PROVENANCE,
        trajectories=folder / "trajectories.parquet",
        state_statistics=folder / "state_statistics.parquet",
        history=folder / "collect_history.parquet",
        timing=folder / "collect_timing.parquet",
        threads=1,
    )


def _represent(folder: Path, representation: Representation) -> Path | None:
    quantised = representation.embedding == "quantised"
    named = JOB | {"representation_name": "r", "representation": representation}
    vqvae = folder / "vqvae.pt" if quantised else None
    if vqvae is not None:
        pretrain(
            PretrainParams.model_validate(named | {"pretrain": PRETRAIN, "cluster_n_init": 3}),
            PROVENANCE,
            trajectories=folder / "trajectories.parquet",
            state_statistics=folder / "state_statistics.parquet",
            vqvae=vqvae,
            vqvae_history=folder / "vqvae_history.parquet",
        )
    cluster_keys = small_cluster().model_dump(exclude={"min_trajectories"})
    section = {"pretrain": PRETRAIN if quantised else None, "cluster": cluster_keys}
    cluster(
        ClusterParams.model_validate(named | section),
        PROVENANCE,
        trajectories=folder / "trajectories.parquet",
        state_statistics=folder / "state_statistics.parquet",
        vqvae=vqvae,
        embeddings=folder / "embeddings.parquet",
        centroids=folder / "centroids.parquet",
        classifier=folder / "classifier.pt",
        cluster_metrics=folder / "cluster_metrics.parquet",
    )
    return vqvae


def _train(
    folder: Path,
    representation: Representation | None,
    labels: str | None = None,
    **changes: object,
) -> None:
    labels = labels or ("clusters" if representation else None)
    quantised = representation is not None and representation.embedding == "quantised"
    params = TrainParams.model_validate(
        JOB
        | {
            "variant_name": "v",
            "variant": {"mixer": "qplex", "labels": labels},
            "problem": PROBLEM,
            "env": Env(),
            "train": small_train(**{"env_steps": 300} | changes),
            "representation_name": "r" if representation else None,
            "representation": representation,
            "pretrain": PRETRAIN if quantised else None,
            "cluster": small_cluster() if representation else None,
            "collect_env_steps": 250 if representation else None,
        }
    )
    train(
        params,
        PROVENANCE,
        state_statistics=folder / "state_statistics.parquet",
        vqvae=folder / "vqvae.pt" if quantised else None,
        centroids=folder / "centroids.parquet" if representation else None,
        classifier=folder / "classifier.pt" if representation else None,
        policy_last=folder / "policy_last.pt",
        policy_best=folder / "policy_best.pt",
        history=folder / "history.parquet",
        embeddings=folder / "train_embeddings.parquet" if representation else None,
        timing=folder / "timing.parquet",
        threads=1,
    )


def _files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if "timing" not in p.name}


def _history(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Metric -> (env steps, value), over all tasks and steps."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in read_table(folder / "history.parquet", "history").to_pylist():
        if row["task"] is None and row["step"] is None:
            found.setdefault(row["metric"], []).append((row["env_steps"], row["value"]))
    return found


def _chain(folder: Path, representation: Representation) -> None:
    folder.mkdir()
    _collect(folder)
    _represent(folder, representation)
    _train(folder, representation)


@pytest.mark.parametrize("representation", [QUANTISED, MEAN_STATE])
def test_two_runs_of_the_chain_give_equal_bytes(
    representation: Representation, use_env: Callable[[Report], list[_Env]], tmp_path: Path
) -> None:
    use_env(_honest)
    for name in "ab":
        _chain(tmp_path / name, representation)
    first, again = _files(tmp_path / "a"), _files(tmp_path / "b")
    assert first == again
    assert len(first) == (13 if representation == QUANTISED else 11)


@pytest.mark.parametrize("representation", [QUANTISED, MEAN_STATE])
def test_the_chain_is_blind_to_the_true_task(
    representation: Representation, use_env: Callable[[Report], list[_Env]], tmp_path: Path
) -> None:
    for name, report in (("a", _honest), ("b", lambda number, task: number * 7 % 5 % 3)):
        use_env(report)
        _chain(tmp_path / name, representation)
    first, other = _files(tmp_path / "a"), _files(tmp_path / "b")
    assert first["trajectories.parquet"] != other["trajectories.parquet"]
    weights = [name for name in first if name.endswith(".pt")]
    assert len(weights) == (4 if representation == QUANTISED else 3)
    blind = [*weights, "state_statistics.parquet", "centroids.parquet"]
    assert all(first[name] == other[name] for name in blind)
    a, b = _history(tmp_path / "a"), _history(tmp_path / "b")
    assert a.keys() == b.keys() and len(a["silhouette"]) >= 2
    assert {name for name in a if a[name] != b[name]} <= {"ari", "nmi"}


def test_the_oracle_is_not_blind(use_env: Callable[[Report], list[_Env]], tmp_path: Path) -> None:
    for name, report in (("a", _honest), ("b", lambda number, task: (task + 1) % 3)):
        use_env(report)
        (tmp_path / name).mkdir()
        _collect(tmp_path / name)
        _train(tmp_path / name, None, "true_task")
    first, other = _files(tmp_path / "a"), _files(tmp_path / "b")
    assert first["policy_last.pt"] != other["policy_last.pt"]
    history = _history(tmp_path / "a")
    assert {"predictor_balanced_accuracy", "majority_rate"} <= history.keys()
    assert history["predictor_accuracy"][0][0] == 0  # no env steps of collect


@pytest.mark.parametrize("buffer_size", [64, 8])
def test_every_collected_episode_is_whole_whatever_the_buffer_holds(
    buffer_size: int, use_env: Callable[[Report], list[_Env]], tmp_path: Path
) -> None:
    made = use_env(_honest)
    _collect(tmp_path, buffer_size=buffer_size, random_episodes=20)
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
    chosen = np.array(statistics["source"].to_pylist()) == "all"
    states = column_matrix(table, "state").astype(np.float64)
    np.testing.assert_allclose(statistics["mean"].to_numpy()[chosen], states.mean(0), rtol=1e-4)


def test_train_returns_are_of_all_episodes_whatever_the_buffer_holds(
    use_env: Callable[[Report], list[_Env]], tmp_path: Path
) -> None:
    use_env(_honest)
    _collect(tmp_path)
    found = []
    for buffer_size in (64, 8):  # more episodes than 8 end between two tests
        _train(tmp_path, None, buffer_size=buffer_size, episodes_per_update=1000)
        history = _history(tmp_path)
        assert "td_loss" not in history  # without updates both runs play the same
        found.append(history["train_return"])
    assert found[0] == found[1] and len(found[0]) == 3


def test_env_steps_of_collect_count_where_its_classes_are_used(
    use_env: Callable[[Report], list[_Env]], tmp_path: Path
) -> None:
    use_env(_honest)
    _chain(tmp_path / "a", MEAN_STATE)
    steps = [env_steps for env_steps, _ in _history(tmp_path / "a")["test_return"]]
    assert steps == [250, 350, 450, 550]
    _train(tmp_path / "a", None)
    steps = [env_steps for env_steps, _ in _history(tmp_path / "a")["test_return"]]
    assert steps == [0, 100, 200, 300]


def test_history_holds_what_the_classes_need(
    use_env: Callable[[Report], list[_Env]], tmp_path: Path
) -> None:
    use_env(_honest)
    _chain(tmp_path / "a", QUANTISED)
    measured = set(_history(tmp_path / "a"))
    assert measured >= {
        *("test_return", "test_win_rate", "train_return", "train_win_rate", "epsilon"),
        *("td_loss", "grad_norm", "q_mean", "predictor_loss", "predictor_accuracy"),
        *("predictor_balanced_accuracy", "majority_rate", "vqvae_loss", "vqvae_coverage"),
        *("vqvae_reconstruction", "vqvae_vq", "vqvae_commitment", "codes_in_use"),
        *("label_consistency", "label_consistency_chance", "silhouette", "ari", "nmi"),
        *("class_swap_effect", "class_swap_actions"),
    }
    table = read_table(tmp_path / "a" / "train_embeddings.parquet", "embeddings")
    assert len(set(table["env_steps"].to_pylist())) == len(_history(tmp_path / "a")["silhouette"])
    assert set(table["task"].to_pylist()) == set(SPEC.tasks)
    assert column_matrix(table, "embedding").shape == (table.num_rows, 3)
