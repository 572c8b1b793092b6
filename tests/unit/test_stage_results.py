"""What the stages write and report, compared with direct computations."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import (
    adjusted_rand_score,
    normalized_mutual_info_score,
    silhouette_score,
)

from chain import (
    MEAN_STATE,
    PRETRAIN,
    QUANTISED,
    SPEC,
    UseEnv,
    honest,
    run_chain,
    run_cluster,
    run_collect,
    run_evaluate,
    run_pretrain,
    run_train,
)
from fakes import CPU, played_replay, random_env, small_cluster
from trama.config.model import Evaluate, Fallback, Representation
from trama.data.parquet import column_matrix, read_table
from trama.learning.build import (
    load_weights,
    make_embedding,
    read_centroids,
    read_statistics,
)
from trama.learning.clustering import Clusters
from trama.learning.learner import Learner
from trama.learning.model import TrainedModel
from trama.learning.novelty import SCORES
from trama.learning.policy import Policy
from trama.learning.representation import TrainedRepresentation
from trama.learning.trainer import Trainer
from trama.networks.classifier import Classifier
from trama.networks.vqvae import VQVAE
from trama.stages import train as train_stage

# --- warnings ------------------------------------------------------------------------------------


CLUSTER_LIMITS = {
    "LOW_SILHOUETTE": "silhouette",
    "SMALL_CLASS": "smallest",
    "LOW_ACCURACY": "agrees",
}


@pytest.mark.parametrize("limit", [None, *CLUSTER_LIMITS])
def test_clustering_warns_of_what_is_below_its_limit(
    limit: str | None,
    use_env: UseEnv,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    warned: Any,
) -> None:
    use_env(honest)
    run_collect(tmp_path)
    for name in CLUSTER_LIMITS:
        monkeypatch.setattr(f"trama.stages.cluster.{name}", 2.0 if name == limit else -2.0)
    run_cluster(tmp_path, MEAN_STATE)
    expected = [] if limit is None else [CLUSTER_LIMITS[limit]]
    assert len(warned()) == len(expected)
    assert all(word in message for word, message in zip(expected, warned(), strict=True))


def test_training_warns_once_of_each_thing(
    use_env: UseEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warned: Any
) -> None:
    use_env(honest)
    run_chain(tmp_path / "a", MEAN_STATE)
    before = len(warned())
    monkeypatch.setattr("trama.learning.diagnosis.LOW_SILHOUETTE", 2.0)
    # nothing is learnt: the predictor's loss stays, and swapping the class changes little
    monkeypatch.setattr("trama.learning.diagnosis.UNUSED_CLASS", 1e6)
    run_train(tmp_path / "a", MEAN_STATE, env_steps=600, learning_rate=1e-9)
    messages = warned()[before:]
    assert len(messages) == 3 and all(m.startswith("after ") for m in messages)
    for words in ("predictor's loss does not fall", "stays low", "does not use its class"):
        assert sum(words in message for message in messages) == 1


# --- class dropout and fallback ------------------------------------------------------------------


def test_a_policy_that_learnt_without_a_class_falls_back(use_env: UseEnv, tmp_path: Path) -> None:
    """On episodes that start as those with classes do; the games' lengths do not depend on play."""
    use_env(honest)
    folder = tmp_path / "chain"
    run_chain(folder, MEAN_STATE)
    settings: dict[str, Any] = {
        "episodes": 12,
        "task_sets": ("fewer", "starts"),
        "given_classes": ("no_class",),
        "fallback": Fallback(score="distance", quantile=0.6),
    }
    found = {}
    for dropout in (0.0, 0.5):
        told = {"hidden_size": 6, "size": 5, "dropout": dropout}
        run_train(folder, MEAN_STATE, class_representation=told)
        path = tmp_path / f"{dropout}.parquet"
        for _ in range(2):
            written = [file.read_bytes() for file in tmp_path.glob(f"{dropout}*.parquet")]
            run_evaluate(folder, path, evaluate=Evaluate(**settings))
        assert written == [file.read_bytes() for file in tmp_path.glob(f"{dropout}*.parquet")]
        found[dropout] = [
            read_table(path.with_name(f"{dropout}{name}.parquet"), kind).to_pandas()
            for name, kind in (
                ("", "episodes"),
                ("_fallback", "fallback"),
                ("_given_classes", "given_classes"),
            )
        ]
    _, *others = found[0.0]
    assert all(rows.empty for rows in others)
    episodes, again, given = found[0.5]
    keys = ["policy", "task_set", "task", "episode"]
    assert again[[*keys, "length"]].equals(episodes[[*keys, "length"]])
    assert episodes[[*SCORES]].notna().all(axis=None)
    trained = again[again["task_set"] == "trained"]
    assert again["class_free"].between(0, 1).all()
    assert trained["class_free"].mean() == pytest.approx(0.4, abs=0.15)
    assert given["class"].isna().all() and set(given["given"]) == {"no_class"}
    assert len(given) == 2 * len(SPEC.tasks) * 12


# --- collect -------------------------------------------------------------------------------------


def test_state_statistics_are_those_of_the_rows_and_the_learner_has_the_random_ones(
    use_env: UseEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_env(honest)
    n_random = 0
    used: list[np.ndarray] = []
    play_random, update = Trainer.play_random, Learner.update

    def counted(self: Trainer) -> np.ndarray:
        nonlocal n_random
        finished = play_random(self)
        n_random += len(finished)
        return finished

    def watched(self: Learner, batch: Any) -> Any:
        used.append(np.stack([self.scaler.mean.numpy(), self.scaler.std.numpy()]))
        return update(self, batch)

    monkeypatch.setattr(Trainer, "play_random", counted)
    monkeypatch.setattr(Learner, "update", watched)
    run_collect(tmp_path)
    table = read_table(tmp_path / "trajectories.parquet", "trajectories")
    states = column_matrix(table, "state").astype(np.float64)
    episode = table["episode"].to_numpy()
    assert 10 <= n_random <= 13 and episode.max() > n_random
    found = read_table(tmp_path / "state_statistics.parquet", "state_statistics").to_pandas()
    summed = np.stack([states[:, coordinate::2].sum(1) for coordinate in (0, 1)], axis=1)
    for kind, names, rows in (
        ("standardised", list(SPEC.state_features), states),
        ("summed", ["unit_x", "unit_y"], summed),
    ):
        for source, part in (("random", rows[episode < n_random]), ("all", rows)):
            chosen = found[(found["source"] == source) & (found["states"] == kind)]
            assert chosen["feature"].tolist() == names
            np.testing.assert_allclose(chosen["mean"], part.mean(0), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(chosen["std"], part.std(0), rtol=1e-4)
            of_part = pd.Series(episode[: len(part)])
            means = pd.DataFrame(part).groupby(of_part).transform("mean")
            ratio = np.sqrt(means.var(ddof=0) / part.var(0))
            np.testing.assert_allclose(chosen["correlation_ratio"], ratio, rtol=1e-3)
    of_learner = (found["source"] == "random") & (found["states"] == "standardised")
    random = found[of_learner][["mean", "std"]].to_numpy().T
    assert len(used) > 5 and all(np.array_equal(one, random) for one in used)


# --- pretrain ------------------------------------------------------------------------------------


def _spy_on_pretraining(
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[list[np.ndarray | None], list[Any]]:
    """Clusterings whose labels all equal their number: previous centroids, classes of each loss."""
    previous: list[np.ndarray | None] = []
    classes: list[Any] = []
    loss = VQVAE.loss

    def fit(
        points: np.ndarray, k: int, seed: int, n_init: int, before: np.ndarray | None
    ) -> Clusters:
        previous.append(before)
        number = len(previous) - 1
        return Clusters(
            np.full(len(points), number), np.full((k, points.shape[1]), number), np.arange(k)
        )

    def watched(self: VQVAE, state: Any, step: Any, n_steps: int, given: Any) -> Any:
        classes.append(None if given is None else set(given.tolist()))
        return loss(self, state, step, n_steps, given)

    monkeypatch.setattr("trama.stages.pretrain.fit_clusters", fit)
    monkeypatch.setattr(VQVAE, "loss", watched)
    return previous, classes


def test_pretraining_relabels_in_equal_parts_of_the_updates(
    use_env: UseEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_env(honest)
    run_collect(tmp_path)
    previous, classes = _spy_on_pretraining(monkeypatch)
    run_pretrain(tmp_path, QUANTISED)
    assert QUANTISED.relabel_rounds == 2 and PRETRAIN.updates == 120
    assert len(previous) == 2 and previous[0] is None
    assert previous[1] is not None and previous[1].tolist() == [[0.0] * 3] * 3
    assert all(len(drawn) > 1 for drawn in classes[:40])
    assert classes[40:80] == [{0}] * 40
    assert classes[80:] == [{1}] * 40


@pytest.mark.parametrize("coverage", ["none", "time"])
def test_pretraining_without_classes_never_clusters(
    coverage: str, use_env: UseEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_env(honest)
    run_collect(tmp_path)
    previous, classes = _spy_on_pretraining(monkeypatch)
    given = {"n_codes": 24, "code_dim": 3, "coverage": coverage}
    run_pretrain(tmp_path, Representation.model_validate(given))
    assert previous == [] and classes == [None] * 120


# --- cluster -------------------------------------------------------------------------------------


def test_cluster_metrics_are_those_of_the_clustering(use_env: UseEnv, tmp_path: Path) -> None:
    use_env(honest)
    run_collect(tmp_path)
    run_pretrain(tmp_path, QUANTISED)
    run_cluster(tmp_path, QUANTISED)
    table = read_table(tmp_path / "embeddings.parquet", "embeddings")
    points, label = column_matrix(table, "embedding"), table["label"].to_numpy()
    task = table["task"].to_pylist()
    rows = read_table(tmp_path / "cluster_metrics.parquet", "cluster_metrics").to_pylist()
    found = {row["metric"]: row["value"] for row in rows if row["class"] is None}
    sizes = {row["class"]: row["value"] for row in rows if row["metric"] == "class_size"}
    assert sizes == {k: (label == k).sum() for k in range(3)}
    assert sum(sizes.values()) == found["n_trajectories"] == len(label)
    assert found["silhouette"] == pytest.approx(silhouette_score(points, label), abs=1e-4)
    assert found["ari"] == pytest.approx(adjusted_rand_score(task, label))
    assert found["nmi"] == pytest.approx(normalized_mutual_info_score(task, label))
    statistics = read_statistics(tmp_path / "state_statistics.parquet")
    embedding = make_embedding(statistics, QUANTISED, PRETRAIN, CPU)
    load_weights(embedding, tmp_path / "vqvae.pt", "pretrain", CPU)
    trajectories = read_table(tmp_path / "trajectories.parquet", "trajectories")
    acted = column_matrix(trajectories, "actions")[:, 0] >= 0
    states = torch.from_numpy(column_matrix(trajectories, "state")[acted])
    assert embedding.vqvae is not None
    with torch.no_grad():
        encoded = embedding.vqvae.encoder(embedding.scaler(states))
        nearest = torch.cdist(encoded, embedding.vqvae.codebook).argmin(1)
    assert found["codes_in_use"] == len(set(nearest.tolist()))
    centroids, mean_distance = read_centroids(tmp_path / "centroids.parquet")
    assert mean_distance == pytest.approx(np.linalg.norm(points - centroids[label], axis=1).mean())
    # The codes by task and class of their trajectory, counted state by state.
    episode = trajectories["episode"].to_numpy()[acted]
    states_of = pd.DataFrame(
        {"code": nearest, "task": np.array(task)[episode], "label": label[episode]}
    )
    expected = states_of.groupby(["code", "task", "label"]).size()
    use = read_table(tmp_path / "codebook.parquet", "codebook").to_pandas()
    assert set(use["env_steps"]) == set(table["env_steps"].to_pylist()) == {len(states)}
    counted = use.set_index(["code", "task", "label"])["count"]
    assert counted.to_dict() == expected.to_dict() and counted.index.is_monotonic_increasing


def test_no_numbers_of_classes_are_compared_unless_they_are_asked_for(
    whole_chain: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whole_chain, tmp_path / "chain"))
    table = read_table(folder / "class_numbers.parquet", "class_numbers")
    assert table.num_rows == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run_cluster(folder, QUANTISED, ("stability", "value"))
    compared = read_table(folder / "class_numbers.parquet", "class_numbers").to_pandas()
    assert compared["criterion"].unique().tolist() == ["stability", "value"]
    del before["class_numbers.parquet"]
    assert all((folder / name).read_bytes() == content for name, content in before.items())


def test_the_criterion_of_a_representation_chooses_its_number_of_classes(
    use_env: UseEnv, tmp_path: Path
) -> None:
    use_env(honest)
    run_collect(tmp_path)
    chosen = Representation.model_validate(
        {"embedding": "mean_state", "class_number": {"criterion": "silhouette", "most": 6}}
    )
    run_cluster(tmp_path, chosen, ("bic", "silhouette"))
    compared = read_table(tmp_path / "class_numbers.parquet", "class_numbers").to_pandas()
    assert compared["criterion"].tolist() == ["silhouette"] * 5 + ["bic"] * 5
    assert compared["n_classes"].tolist() == [2, 3, 4, 5, 6] * 2
    assert compared["standard_error"].isna().all()
    assert compared.groupby("criterion")["chosen"].sum().to_dict() == {"silhouette": 1, "bic": 1}
    own = compared[compared["criterion"] == "silhouette"]
    assert own["chosen"].tolist() == [False, True, False, False, False]  # three tasks
    assert own["score"].idxmax() == own.index[own["chosen"]][0]
    table = read_table(tmp_path / "embeddings.parquet", "embeddings")
    points, label = column_matrix(table, "embedding"), table["label"].to_numpy()
    assert own["score"].iloc[1] == pytest.approx(silhouette_score(points, label), abs=1e-6)
    assert set(label) == {0, 1, 2}
    assert read_centroids(tmp_path / "centroids.parquet")[0].shape == (3, points.shape[1])
    network = Classifier(points.shape[1], 6, small_cluster().classifier)
    load_weights(network, tmp_path / "classifier.pt", "cluster", CPU)
    given = network.classify(torch.tensor(points), torch.arange(3))
    assert float((given.numpy() == label).mean()) > 0.95


# --- train ---------------------------------------------------------------------------------------


def _embedded(representation: TrainedRepresentation) -> tuple[np.ndarray, ...]:
    """What a representation makes of some episodes, and its mean distance."""
    replay = played_replay(random_env(4), 8, seed=0)
    return (*representation.embed(replay, replay.finished), np.array(representation.mean_distance))


def test_the_best_policy_is_that_of_the_best_test(
    use_env: UseEnv, whole_chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Win rate first, then return; the tests' outcomes are made up, the third one is best.

    The training clusters anew between the tests.
    """
    use_env(honest)
    tmp_path = Path(shutil.copytree(whole_chain, tmp_path / "chain"))
    outcomes = [(False, 9.0), (True, 1.0), (True, 3.0), (True, 2.0)]
    tested: list[dict[str, torch.Tensor]] = []
    embedded: list[tuple[np.ndarray, ...]] = []
    play = train_stage.play_episodes
    test = train_stage._Run.test

    def watched(self: train_stage._Run) -> None:
        assert self.representation is not None
        embedded.append(_embedded(self.representation))
        test(self)

    def scripted(env: Any, policy: Policy, *rest: Any) -> Any:
        won, episode_return = outcomes[len(tested)]
        tested.append(copy.deepcopy(policy.state_dict()))
        replay, slots = play(env, policy, *rest)
        replay.won[slots] = won
        replay.reward[slots] = 0.0
        replay.reward[slots, 0] = episode_return
        return replay, slots

    monkeypatch.setattr(train_stage, "play_episodes", scripted)
    monkeypatch.setattr(train_stage._Run, "test", watched)
    run_train(tmp_path, QUANTISED)
    assert len(tested) == len(outcomes)
    history = read_table(tmp_path / "history.parquet", "history").to_pandas()
    wins = history[(history["metric"] == "test_win_rate") & history["task"].isna()]["value"]
    assert wins.tolist() == [0.0, 1.0, 1.0, 1.0]
    for name, number in (("best", 2), ("last", 3)):
        model = TrainedModel.load(tmp_path / f"policy_{name}.pt", CPU)
        weights = model.policy.state_dict()
        assert all(torch.equal(weights[key], tested[number][key]) for key in weights)
        assert model.test_win_rate == wins.max()
        assert model.representation is not None
        found = _embedded(model.representation)
        assert all(map(np.array_equal, found, embedded[number]))
    assert any(not torch.equal(tested[2][key], tested[3][key]) for key in tested[2])
    assert not any(map(np.array_equal, embedded[2], embedded[3]))


def test_history_by_task_and_by_step(use_env: UseEnv, tmp_path: Path) -> None:
    use_env(honest)
    run_collect(tmp_path)
    run_train(tmp_path, None, "true_task", test_episodes=24)
    history = read_table(tmp_path / "history.parquet", "history").to_pandas()
    for metric in ("test_return", "test_win_rate", "train_return", "train_win_rate"):
        tasks = history[history["metric"] == metric]["task"]
        assert set(tasks.dropna()) == set(SPEC.tasks)
        assert tasks.isna().sum() == (4 if metric.startswith("test") else 3)
    steps = history[(history["metric"] == "predictor_accuracy") & history["step"].notna()]
    for _, at_once in steps.groupby("env_steps"):
        assert at_once["step"].tolist() == list(range(SPEC.episode_limit))


# --- evaluate ------------------------------------------------------------------------------------


def test_evaluation_plays_each_policy_on_each_task(use_env: UseEnv, tmp_path: Path) -> None:
    made = use_env(honest)
    run_collect(tmp_path)
    run_train(tmp_path, None)
    learning = [seed for env in made for seed in env.seeds]  # and the tests of training
    assert len(made) == 3 and len(set(learning)) > 2
    made.clear()
    # another policy of the same sizes, with other choices
    model = TrainedModel.load(tmp_path / "policy_last.pt", CPU)
    with torch.no_grad():
        for weight in model.policy.parameters():
            weight.neg_()
    model.save(tmp_path / "policy_best.pt")
    for name in "ab":
        run_evaluate(tmp_path, tmp_path / f"{name}.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    run_evaluate(tmp_path, tmp_path / "c.parquet", variant_name="w", seed=1)
    # Tasks start alike for every policy, variant and seed, and as nowhere in learning.
    seeds = [env.seeds for env in made]
    assert seeds == seeds[:5] * 6
    assert len({seed for task in seeds for seed in task} - set(learning)) == 5
    rows = read_table(tmp_path / "a.parquet", "episodes").to_pandas()
    tasks = [*SPEC.tasks, "1z surrounded", "2s surrounding"]  # "2s surrounded" is a trained one
    assert rows["task"].tolist() == [task for task in tasks for _ in range(4)] * 2
    assert rows["task_set"].tolist() == (["trained"] * 12 + ["fewer"] * 4 + ["starts"] * 4) * 2
    assert rows["units_changed"].tolist() == ([0] * 12 + [1] * 4 + [0] * 4) * 2
    assert rows["start_trained"].tolist() == ([True] * 16 + [False] * 4) * 2
    assert rows["policy"].tolist() == ["last"] * 20 + ["best"] * 20
    assert rows["episode"].tolist() == list(range(4)) * 10
    last, best = (rows[rows["policy"] == which] for which in ("last", "best"))
    assert not np.array_equal(last["episode_return"], best["episode_return"])
    assert np.array_equal(last["length"], best["length"])  # the same games
    # Without classes there is nothing to tell of them.
    of_classes = ["class", "entropy", "agreement", "swap_effect", "swap_actions"]
    assert rows[[*of_classes, "centroid_distance"]].isna().all(axis=None)
    for kind in ("predictions", "given_classes"):
        assert read_table(tmp_path / f"a_{kind}.parquet", kind).num_rows == 0


def test_evaluation_tells_what_agents_predicted(
    use_env: UseEnv, whole_chain: Path, tmp_path: Path
) -> None:
    use_env(honest)
    folder = Path(shutil.copytree(whole_chain, tmp_path / "chain"))
    best = TrainedModel.load(folder / "policy_best.pt", CPU)
    replace(best, representation=None).save(folder / "policy_best.pt")  # as an oracle's is
    run_evaluate(folder, tmp_path / "a.parquet")
    rows = read_table(tmp_path / "a.parquet", "episodes").to_pandas()
    assert set(rows["class"]) <= {0, 1, 2}
    assert rows["entropy"].between(0, 1).all() and rows["entropy"].nunique() > 1
    assert rows["agreement"].between(1 / 3, 1).all()
    assert rows["swap_effect"].nunique() > 1 and rows["swap_actions"].between(0, 1).all()
    assert rows["centroid_distance"].isna().tolist() == (rows["policy"] == "best").tolist()
    assert (rows["centroid_distance"].dropna() > 0).all()
    steps = read_table(tmp_path / "a_predictions.parquet", "predictions").to_pandas()
    keys = ["policy", "task_set", "task"]
    lengths = rows.groupby(keys)["length"]
    for where, found in steps.groupby(keys):
        played = lengths.get_group(where)
        running = found.groupby("step")["episodes"].unique()
        assert running.tolist() == [[(played > step).sum()] for step in range(played.max())]
    for metric in ("class_probability", "class_share"):
        by_class = steps[steps["metric"] == metric].groupby([*keys, "step"])
        assert (by_class["class"].apply(list).map(lambda found: found == [0, 1, 2])).all()
        np.testing.assert_allclose(by_class["value"].sum(), 1)
    counts = steps.groupby([*keys, "step"])["metric"].value_counts().unstack()
    once = dict.fromkeys(("entropy", "agreement", *SCORES), 1)
    assert (counts == {"class_probability": 3, "class_share": 3, **once}).all(axis=None)
