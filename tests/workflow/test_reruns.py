"""What a change plans in a finished study (from dry runs)."""

import os
import time
from pathlib import Path

import pytest

from clones import planned_jobs

pytestmark = pytest.mark.end_to_end

FIGURES = {"figure_learning_curves": 1, "figure_embeddings": 1, "figure_predictor_accuracy": 1}
TABLES = {"table_results": 1, "table_clusters": 1, "table_predictor": 1}
CLASSES = {"cluster_representation": 1, "train_trama": 1, "evaluate_variant": 1}


@pytest.mark.parametrize("name", ["learning_curves", "embeddings", "predictor_accuracy"])
def test_editing_a_figure_script_plans_that_figure_alone(copied_study: Path, name: str) -> None:
    # Not all file systems tell apart times within a second.
    later = time.time() + 2
    os.utime(copied_study / f"workflow/scripts/figure_{name}.py", (later, later))
    assert planned_jobs(copied_study, "--config", "preset=tiny") == {f"figure_{name}": 1}


@pytest.mark.parametrize(
    ("change", "planned"),
    [
        (
            # Coverage J(t,k): pretraining depends on the number of classes, too.
            "representations={vqvae: {n_classes: 2}}",
            {"pretrain_representation": 1, **CLASSES, **FIGURES, **TABLES},
        ),
        ("cluster={max_trajectories: 4000}", {**CLASSES, **FIGURES, **TABLES}),
        (
            "train={predictor: {loss_weight: 0.2}}",
            {
                "train_trama": 1,
                "evaluate_variant": 1,
                "figure_learning_curves": 1,
                "figure_predictor_accuracy": 1,
                "table_results": 1,
                "table_predictor": 1,
            },
        ),
        ("evaluate={episodes: 5}", {"evaluate_variant": 3, "table_results": 1}),
        ("figures={dpi: 100}", FIGURES),
        ("tables={decimals: 1}", TABLES),
        ("resources={train: {mem_mb: 3000, runtime: 20}}", {}),
        ("representations={mean_state: {n_classes: 2}}", {}),
    ],
)
def test_a_changed_key_plans_the_stages_that_depend_on_it(
    finished_study: Path, change: str, planned: dict[str, int]
) -> None:
    assert planned_jobs(finished_study, "--config", "preset=tiny", change) == planned


def test_a_new_seed_leaves_the_others_alone(finished_study: Path) -> None:
    planned = planned_jobs(finished_study, "--config", "preset=tiny", "study={seeds: [0, 1]}")
    assert planned == {
        "collect_problem": 1,
        "pretrain_representation": 1,
        "cluster_representation": 1,
        "train_baseline": 2,
        "train_trama": 1,
        "evaluate_variant": 3,
        **FIGURES,
        **TABLES,
    }
