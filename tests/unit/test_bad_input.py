"""Broken files between the stages: each stage function ends in one error, or says what it does."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chain import (
    MEAN_STATE,
    PROVENANCE,
    QUANTISED,
    UseEnv,
    history_of,
    honest,
    run_chain,
    run_cluster,
    run_collect,
    run_evaluate,
    run_predict,
    run_pretrain,
    run_train,
)
from trama.config.model import Representation
from trama.data.parquet import column_matrix, read_table, write_table
from trama.errors import TramaError
from trama.learning.clustering import Clusters, fit_clusters

Stage = Callable[[Path], None]


def pretrain(folder: Path) -> None:
    run_pretrain(folder, QUANTISED)


def cluster(folder: Path) -> None:
    run_cluster(folder, QUANTISED)


def predict(folder: Path) -> None:
    run_predict(folder)


def train(folder: Path) -> None:
    run_train(folder, QUANTISED)


def evaluate(folder: Path) -> None:
    run_evaluate(folder, folder / "episodes.parquet")


# Input of a stage, the target that makes it anew, and what the stage would write.
PARQUET: list[tuple[Stage, str, str, str]] = [
    (pretrain, "trajectories", "collect", "vqvae.pt"),
    (pretrain, "state_statistics", "collect", "vqvae.pt"),
    (cluster, "trajectories", "collect", "classifier.pt"),
    (cluster, "state_statistics", "collect", "classifier.pt"),
    (predict, "trajectories", "collect", "predictor_accuracy.parquet"),
    (predict, "embeddings", "cluster", "predictor_accuracy.parquet"),
    (train, "state_statistics", "collect", "policy_last.pt"),
    (train, "centroids", "cluster", "policy_last.pt"),
]
WEIGHTS: list[tuple[Stage, str, str]] = [
    (cluster, "vqvae.pt", "pretrain"),
    (train, "vqvae.pt", "pretrain"),
    (train, "classifier.pt", "cluster"),
    (train, "learner.pt", "collect"),
    (evaluate, "policy_last.pt", "train"),
]


def missing(path: Path) -> None:
    path.unlink()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    group = pq.ParquetFile(path).metadata.row_group(0)
    read = ("state", "mean", "centroid.list.element", "embedding.list.element")
    columns = [group.column(i) for i in range(group.num_columns)]
    column = next(column for column in columns if column.path_in_schema in read)
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(bytes(content))


def foreign(path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), path)


def of_another_kind(path: Path) -> None:
    shutil.copy(path.parent / "collect_history.parquet", path)


def of_an_older_schema(path: Path) -> None:
    """Without its first column, as if that had been added since."""
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(table.column_names[0]), path)


DAMAGES = {
    missing: "there is no such file",
    truncated: "not a complete Parquet file",
    flipped: "cannot be read",
    foreign: "found something else",
    of_another_kind: "found `history`, written by train",
    of_an_older_schema: "is missing; it was written by another version of this pipeline",
}


@pytest.fixture
def prepared(use_env: UseEnv, whole_chain: Path, tmp_path: Path) -> Path:
    """The files of a whole chain, to be changed freely."""
    use_env(honest)
    return Path(shutil.copytree(whole_chain, tmp_path / "chain"))


@pytest.mark.parametrize(
    ("stage", "name", "target", "written"),
    PARQUET,
    ids=[f"{stage.__name__} {name}" for stage, name, _, _ in PARQUET],
)
def test_a_damaged_table_is_named_with_its_remedy(
    prepared: Path, stage: Stage, name: str, target: str, written: str
) -> None:
    path = prepared / f"{name}.parquet"
    whole = path.read_bytes()
    before = (prepared / written).read_bytes()
    for damage, message in DAMAGES.items():
        path.write_bytes(whole)
        damage(path)
        with pytest.raises(TramaError) as error:
            stage(prepared)
        text = str(error.value)
        assert text.startswith(f"{path}: "), damage.__name__
        assert message in text, damage.__name__
        assert f"run the target `{target}` again" in text, damage.__name__
        assert (prepared / written).read_bytes() == before, damage.__name__
    path.write_bytes(whole)
    stage(prepared)


@pytest.mark.parametrize(
    ("stage", "name", "target"), WEIGHTS, ids=[f"{stage.__name__} {n}" for stage, n, _ in WEIGHTS]
)
def test_damaged_weights_are_named_with_their_remedy(
    prepared: Path, stage: Stage, name: str, target: str
) -> None:
    path = prepared / name
    whole = path.read_bytes()

    def of_another_network(path: Path) -> None:
        others = {"policy_last.pt": "classifier.pt", "classifier.pt": "vqvae.pt"}
        shutil.copy(path.parent / others.get(path.name, "classifier.pt"), path)

    for damage in (missing, truncated, of_another_network):
        path.write_bytes(whole)
        damage(path)
        with pytest.raises(TramaError) as error:
            stage(prepared)
        assert str(error.value).startswith(f"{path}: "), damage.__name__
        assert f"`{target}`" in str(error.value), damage.__name__


def rewritten(path: Path, change: Callable[[pa.Table], dict[str, Any]]) -> None:
    """The trajectories at `path` with columns replaced, whole and of the right schema."""
    table = read_table(path, "trajectories")
    columns: dict[str, Any] = {
        field.name: column_matrix(table, field.name)
        if pa.types.is_binary(field.type) or pa.types.is_list(field.type)
        else table[field.name]
        for field in table.schema
    }
    columns |= change(table)
    write_table(path, "trajectories", columns, PROVENANCE)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("stage", [pretrain, cluster])
def test_states_that_are_not_finite(prepared: Path, stage: Stage, value: float) -> None:
    def spoil(table: pa.Table) -> dict[str, Any]:
        state = column_matrix(table, "state").copy()
        state[7, 2] = value
        return {"state": state}

    path = prepared / "trajectories.parquet"
    rewritten(path, spoil)
    message = "column state holds values that are not finite numbers.*`collect` again"
    with pytest.raises(TramaError, match=message) as error:
        stage(prepared)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("stage", "name", "column", "target"),
    [
        (pretrain, "state_statistics", "mean", "collect"),
        (cluster, "state_statistics", "std", "collect"),
        (train, "state_statistics", "std", "collect"),
        (cluster, "state_statistics", "correlation_ratio", "collect"),
        (train, "centroids", "centroid", "cluster"),
        (train, "centroids", "mean_distance", "cluster"),
    ],
)
def test_statistics_and_centroids_that_are_not_finite(
    prepared: Path, stage: Stage, name: str, column: str, target: str
) -> None:
    path = prepared / f"{name}.parquet"
    table = read_table(path, name)
    columns: dict[str, Any] = {each: table[each].to_pylist() for each in table.column_names}
    columns[column] = np.array(columns[column], np.float32)
    columns[column][-1] = np.nan
    write_table(path, name, columns, PROVENANCE)
    message = f"column {column} holds values that are not finite numbers.*`{target}` again"
    with pytest.raises(TramaError, match=message) as error:
        stage(prepared)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("representation", [QUANTISED, MEAN_STATE])
@pytest.mark.parametrize("stage", [run_pretrain, run_cluster])
def test_fewer_episodes_than_classes(
    prepared: Path, stage: Callable[[Path, Representation], None], representation: Representation
) -> None:
    path = prepared / "trajectories.parquet"
    table = read_table(path, "trajectories")
    few = table.filter(pa.compute.less(table["episode"], 2))
    write_table(path, "trajectories", few, PROVENANCE)
    if stage is run_pretrain:
        representation = QUANTISED
    with pytest.raises(TramaError, match="holds 2 trajectories, which cannot fill 3 classes") as e:
        stage(prepared, representation)
    assert str(e.value).startswith(f"{path}: ")
    assert "Raise collect.env_steps, or lower n_classes" in str(e.value)


def test_coverage_without_classes_needs_no_more_than_one_episode(prepared: Path) -> None:
    path = prepared / "trajectories.parquet"
    table = read_table(path, "trajectories")
    write_table(
        path, "trajectories", table.filter(pa.compute.equal(table["episode"], 0)), PROVENANCE
    )
    run_pretrain(prepared, Representation(n_codes=24, code_dim=3, n_classes=3, coverage="time"))


def test_no_episodes_at_all(prepared: Path) -> None:
    path = prepared / "trajectories.parquet"
    write_table(path, "trajectories", read_table(path, "trajectories").slice(0, 0), PROVENANCE)
    with pytest.raises(TramaError, match=r"holds no trajectory. Raise collect.env_steps"):
        cluster(prepared)


@pytest.mark.parametrize("stage", [pretrain, cluster])
def test_trajectories_that_are_all_equal(prepared: Path, stage: Stage) -> None:
    def level(table: pa.Table) -> dict[str, Any]:
        return {"state": np.ones_like(column_matrix(table, "state"))}

    path = prepared / "trajectories.parquet"
    rewritten(path, level)
    with pytest.raises(TramaError, match="1 different trajectory embeddings") as error:
        stage(prepared)
    assert str(error.value).startswith(f"{path}: ")
    assert "Lower n_classes of the representation" in str(error.value)


def test_one_task_alone_is_clustered_and_reported(
    use_env: UseEnv, tmp_path: Path, warned: Any
) -> None:
    use_env(lambda number, task: 0)
    run_chain(tmp_path / "chain", QUANTISED)
    messages = [m for m in warned() if "are of one task (2s surrounded)" in m]
    assert len(messages) == 1 and "ARI and NMI say nothing" in messages[0]
    history = history_of(tmp_path / "chain")
    assert {value for _, value in history["ari"]} == {0.0}
    assert len(history["label_consistency"]) > 0


def test_an_empty_class_is_reported_and_can_be_trained_with(
    use_env: UseEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warned: Any
) -> None:
    """K-means fills its clusters wherever it can, so that one is emptied by hand."""

    def emptied(points: np.ndarray, n_classes: int, *arguments: Any) -> Clusters:
        two = fit_clusters(points, n_classes - 1, *arguments)
        return Clusters(
            two.labels, np.vstack([two.centroids, two.centroids[:1] + 1e3]), np.arange(3)
        )

    use_env(honest)
    monkeypatch.setattr("trama.stages.cluster.fit_clusters", emptied)
    run_collect(tmp_path)
    run_pretrain(tmp_path, QUANTISED)
    cluster(tmp_path)
    assert any("the smallest class holds 0.0 % of the trajectories" in m for m in warned())
    metrics = read_table(tmp_path / "cluster_metrics.parquet", "cluster_metrics").to_pylist()
    sizes = {row["class"]: row["value"] for row in metrics if row["metric"] == "class_size"}
    assert sizes[2] == 0 and min(sizes[0], sizes[1]) > 0
    train(tmp_path)
    history = history_of(tmp_path)
    assert all(np.isfinite(value) for values in history.values() for _, value in values)
