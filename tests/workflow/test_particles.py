"""A study on backend mpe: the same chain, from the first episode to the last table."""

import csv
from pathlib import Path

import pytest

from clones import run_snakemake
from trama.data.parquet import read_table

pytestmark = pytest.mark.end_to_end

TRAINED = {"spread_2", "spread_4", "reference", "tag_3"}
OOD = {"spread_3", "tag_2", "tag_4", "spread_2_line", "spread_4_line", "spread_4_circle"}
OOD |= {"spread_3_line", "spread_3_circle"}


def test_one_file_switches_to_particles(clone: Path) -> None:
    """With one variant, and without figures: in those a study on particles is like any other."""
    result = run_snakemake(
        *(clone, "tables", "--cores", "2", "--configfile", "config/mpe.yaml", "--config"),
        *("preset=tiny", "study={variants: [trama]}", "evaluate={policies: [last]}"),
    )
    assert result.returncode == 0, result.stdout
    results = clone / "results/mpe"
    path = results / "Particles/evaluate/trama/seed_0/episodes.parquet"
    episodes = read_table(path, "episodes").to_pandas()
    assert set(episodes["task"]) == TRAINED | OOD
    assert (episodes.groupby(["policy", "task"]).size() == 4).all()
    assert episodes[["units_changed", "start_trained"]].isna().all(axis=None)
    assert (episodes["length"] == 25).all()
    assert (episodes["episode_return"] >= 0).eq(episodes["task"].str.startswith("tag")).all()
    assert episodes["centroid_distance"].gt(0).all()
    for name, tasks in (("results", TRAINED | {"overall"}), ("ood_tasks", TRAINED | OOD)):
        with (results / f"tables/Particles_{name}.csv").open(newline="") as file:
            assert {row["task"] for row in csv.DictReader(file)} == tasks
    for table in ("numbers", "study_hyperparameters", "Particles_ood", "Particles_clusters"):
        assert (results / f"tables/{table}.tex").stat().st_size > 0
