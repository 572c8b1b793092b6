"""The class predictor alone: what it learns of collected trajectories, and how that is counted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from chain import (
    MEAN_STATE,
    PREDICT,
    PROVENANCE,
    QUANTISED,
    SPEC,
    UseEnv,
    honest,
    run_cluster,
    run_collect,
    run_predict,
    run_pretrain,
)
from fakes import CPU, RANDOM_SPEC, played_replay, random_env
from trama.config.model import Representation
from trama.data.parquet import column_matrix, read_table, write_table
from trama.errors import TramaError
from trama.learning.build import build_predictor
from trama.learning.predictor import fit_predictor, measure_predictor, predictor_loss
from trama.networks.agent import AgentHistory
from trama.reporting.statistics import predictor_alone


def _clustered(
    folder: Path, use_env: UseEnv, representation: Representation, report: Any = honest
) -> None:
    use_env(report)
    folder.mkdir(exist_ok=True)
    run_collect(folder)
    if representation.has_codebook:
        run_pretrain(folder, representation)
    run_cluster(folder, representation)


def _rows(folder: Path, output: str = "predictor_accuracy.parquet") -> pd.DataFrame:
    rows: pd.DataFrame = read_table(folder / output, "predictor_accuracy").to_pandas()
    return rows


def _overall(rows: pd.DataFrame, labels: str, split: str = "held_out") -> dict[str, float]:
    chosen = (rows["labels"] == labels) & (rows["split"] == split) & rows["step"].isna()
    (found,) = rows[chosen].to_dict("records")
    return {str(name): value for name, value in found.items()}


@pytest.mark.parametrize("representation", [QUANTISED, MEAN_STATE])
def test_it_learns_what_the_observations_tell(
    representation: Representation, use_env: UseEnv, tmp_path: Path
) -> None:
    _clustered(tmp_path, use_env, representation)
    run_predict(tmp_path)
    rows = _rows(tmp_path)
    # The first entry of each observation is the task, which the clusters of mean states find.
    for labels in ("true_task", *(["clusters"] if representation is MEAN_STATE else [])):
        found = _overall(rows, labels)
        assert found["accuracy"] > 0.9 > 0.7 > found["majority_rate"]
        assert found["balanced_accuracy"] > 0.9
    run_predict(tmp_path, "again.parquet")
    one, other = (tmp_path / name for name in ("predictor_accuracy.parquet", "again.parquet"))
    assert one.read_bytes() == other.read_bytes()
    run_predict(tmp_path, "other.parquet", seed=1)
    assert not _rows(tmp_path, "other.parquet").equals(rows)


def test_true_tasks_are_counted_alike_whatever_the_representation(
    use_env: UseEnv, tmp_path: Path
) -> None:
    found = []
    for number, representation in enumerate((QUANTISED, MEAN_STATE)):
        _clustered(tmp_path / str(number), use_env, representation)
        run_predict(tmp_path / str(number), representation_name=f"r{number}")
        rows = _rows(tmp_path / str(number))
        found.append(rows[rows["labels"] == "true_task"])
    pd.testing.assert_frame_equal(found[0], found[1])


def test_on_clusters_it_is_blind_to_the_true_task(use_env: UseEnv, tmp_path: Path) -> None:
    reports: list[Callable[[int, int], int]] = [honest, lambda number, task: number * 7 % 5 % 3]
    found = []
    for number, report in enumerate(reports):
        _clustered(tmp_path / str(number), use_env, MEAN_STATE, report)
        run_predict(tmp_path / str(number))
        found.append(_rows(tmp_path / str(number)))
    blind = [rows[rows["labels"] == "clusters"].reset_index(drop=True) for rows in found]
    pd.testing.assert_frame_equal(blind[0], blind[1])
    # Tasks that have nothing to do with the games cannot be told.
    known, unknown = (_overall(rows, "true_task")["accuracy"] for rows in found)
    assert unknown < 0.6 < known


def test_every_trajectory_is_counted_once_at_each_of_its_steps(
    use_env: UseEnv, tmp_path: Path
) -> None:
    _clustered(tmp_path, use_env, MEAN_STATE)
    run_predict(tmp_path)
    table = read_table(tmp_path / "trajectories.parquet", "trajectories")
    acted = column_matrix(table, "actions")[:, 0] >= 0
    episode = table["episode"].to_numpy()[acted]
    clustered = read_table(tmp_path / "embeddings.parquet", "embeddings")["episode"].to_numpy()
    chosen = np.isin(episode, clustered)
    running = np.bincount(table["step"].to_numpy()[acted][chosen])
    rows, n_agents = _rows(tmp_path), SPEC.n_agents
    for _, of_labels in rows.groupby("labels"):
        by_step = of_labels[of_labels["step"].notna()].groupby("step")["episodes"].sum()
        assert by_step.tolist() == running.tolist()
        overall = of_labels[of_labels["step"].isna()].set_index("split")
        assert overall["episodes"].sum() == len(clustered)
        assert overall["episodes"]["held_out"] == round(0.3 * len(clustered))
        assert overall["predictions"].sum() == n_agents * chosen.sum()
        for split, of_split in of_labels[of_labels["step"].notna()].groupby("split"):
            assert of_split["predictions"].tolist() == (n_agents * of_split["episodes"]).tolist()
            right = (of_split["accuracy"] * of_split["predictions"]).sum()
            expected = overall["accuracy"][split] * overall["predictions"][split]
            assert right == pytest.approx(expected)
    # As a report reads it.
    read = predictor_alone(tmp_path / "predictor_accuracy.parquet", "clusters", "trained")
    assert read["accuracy"].iloc[0] == _overall(rows, "clusters", "trained")["accuracy"]
    assert read["step"].iloc[1:].tolist() == list(range(len(read) - 1))


@pytest.mark.parametrize(("held_out", "n_held_out"), [(0.001, 1), (0.999, -1)])
def test_both_splits_have_a_trajectory(
    held_out: float, n_held_out: int, use_env: UseEnv, tmp_path: Path
) -> None:
    _clustered(tmp_path, use_env, MEAN_STATE)
    run_predict(tmp_path, predict=PREDICT.model_copy(update={"held_out": held_out, "updates": 1}))
    rows = _rows(tmp_path)
    n_clustered = len(read_table(tmp_path / "embeddings.parquet", "embeddings"))
    assert _overall(rows, "clusters")["episodes"] == n_held_out % n_clustered


def test_clusters_of_other_trajectories(use_env: UseEnv, tmp_path: Path) -> None:
    _clustered(tmp_path, use_env, MEAN_STATE)
    path = tmp_path / "embeddings.parquet"
    columns: dict[str, Any] = read_table(path, "embeddings").to_pydict()
    columns["embedding"] = np.array(columns["embedding"], np.float32)
    columns["task"] = columns["task"][1:] + columns["task"][:1]
    write_table(path, "embeddings", columns, PROVENANCE)
    message = "are of other trajectories than those in .*Run the target `cluster` again"
    with pytest.raises(TramaError, match=message) as error:
        run_predict(tmp_path)
    assert str(error.value).startswith(f"{path}: ")
    write_table(path, "embeddings", {k: v[:1] for k, v in columns.items()}, PROVENANCE)
    with pytest.raises(TramaError, match="holds 1 trajectories, too few to hold some out"):
        run_predict(tmp_path)


# --- counting ------------------------------------------------------------------------------------


class BySecondEntry:
    """Stands for a predictor: names the class by the sign of the observation's second entry."""

    def __call__(self, history: AgentHistory, batch_sizes: list[int]) -> Tensor:
        named = (history.obs[..., 1] > 0).long()
        return torch.nn.functional.one_hot(named, 3).float()


def test_accuracy_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trama.learning.replay.EPISODES_AT_ONCE", 5)  # several parts
    replay = played_replay(random_env(4), 12, seed=3)
    slots = replay.finished[11::-1]
    replay.label[slots] = np.arange(12) % 2  # label 2 does not occur
    predictor: Any = BySecondEntry()
    found = measure_predictor(predictor, replay, slots, 3, CPU)
    n_steps = int(replay.length[slots].max())
    assert len(found.accuracy) == len(found.predictions) == 1 + n_steps
    rows: list[tuple[int, int, float]] = []  # step, label, share of the agents that are right
    for slot in slots:
        for step in range(replay.length[slot]):
            named = replay.obs[slot, step, :, 1] > 0
            label = int(replay.label[slot])
            rows.append((step, label, float((named == label).mean())))
    for position in range(1 + n_steps):
        chosen = [row for row in rows if position in (0, row[0] + 1)]
        shares = np.array([share for _, _, share in chosen])
        labels = np.array([label for _, label, _ in chosen])
        assert found.accuracy[position] == pytest.approx(shares.mean())
        of_label = [shares[labels == label].mean() for label in np.unique(labels)]
        assert found.balanced[position] == pytest.approx(np.mean(of_label))
        assert found.majority[position] == pytest.approx(np.bincount(labels).max() / len(labels))
        assert found.episodes[position] == (12 if position == 0 else len(chosen))
        assert found.predictions[position] == len(chosen) * RANDOM_SPEC.n_agents


def test_training_lowers_the_loss_of_its_own_episodes() -> None:
    replay = played_replay(random_env(4), 30, seed=3)
    replay.label[replay.finished] = replay.task[replay.finished]
    slots = replay.finished[:20]
    torch.manual_seed(0)
    predictor = build_predictor(RANDOM_SPEC, "flat", 16, 3, CPU)
    batch = replay.batch(slots, CPU)
    before = predictor_loss(predictor, batch).item()
    reported: list[int] = []
    replay.obs[replay.finished[20:]] = np.nan  # of episodes that it is not given
    fit_predictor(predictor, replay, slots, PREDICT, np.random.default_rng(0), CPU, reported.append)
    assert reported == list(range(1, PREDICT.updates + 1))
    assert predictor_loss(predictor, batch).item() < 0.3 * before
