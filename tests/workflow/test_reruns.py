"""What a change plans in a finished study (from dry runs)."""

import os
import time
from pathlib import Path

import pytest

from clones import planned_jobs

pytestmark = pytest.mark.end_to_end

FIGURES = {"figure_learning_curves": 1, "figure_embeddings": 1, "figure_predictor_accuracy": 1}
TABLES = {"table_results": 1, "table_clusters": 1, "table_predictor": 1}
TRAINING = {"train_with_representation": 1, "evaluate_variant": 1}
AFTER_TRAINING = {
    "figure_learning_curves": 1,
    "figure_predictor_accuracy": 1,
    "table_results": 1,
    "table_predictor": 1,
}
CLASSES = {"cluster_representation": 1, **TRAINING}


@pytest.mark.parametrize("name", ["learning_curves", "embeddings", "predictor_accuracy"])
def test_editing_a_figure_script_plans_that_figure_alone(copied_study: Path, name: str) -> None:
    # Not all file systems tell apart times within a second.
    later = time.time() + 2
    os.utime(copied_study / f"workflow/scripts/figure_{name}.py", (later, later))
    assert planned_jobs(copied_study, "--config", "preset=tiny") == {f"figure_{name}": 1}


@pytest.mark.parametrize(
    ("module", "planned"),
    [("figures", FIGURES), ("tables", TABLES), ("statistics", {**FIGURES, **TABLES})],
)
def test_editing_a_library_of_the_report_plans_what_it_makes(
    copied_study: Path, module: str, planned: dict[str, int]
) -> None:
    path = copied_study / f"workflow/trama/reporting/{module}.py"
    path.write_text(path.read_text() + "# edited\n")
    assert planned_jobs(copied_study, "--config", "preset=tiny") == planned


@pytest.mark.parametrize(
    ("change", "planned"),
    [
        (
            # Coverage J(t,k): pretraining depends on the number of classes, too.
            "representations={vqvae: {n_classes: 2}}",
            {"pretrain_representation": 1, **CLASSES, **FIGURES, **TABLES},
        ),
        ("cluster={max_trajectories: 4000}", {**CLASSES, **FIGURES, **TABLES}),
        ("cluster={min_trajectories: 9}", {**TRAINING, **AFTER_TRAINING}),
        ("train={predictor: {loss_weight: 0.2}}", {**TRAINING, **AFTER_TRAINING}),
        ("evaluate={episodes: 5}", {"evaluate_variant": 3, "table_results": 1}),
        ("figures={dpi: 100}", FIGURES),
        ("figures={smoothing: 2}", {"figure_learning_curves": 1}),
        ("tables={decimals: 1}", TABLES),
        ("tables={policy: best}", {"table_results": 1}),
        (
            "study={variants: [qplex, qmix, trama]}",  # the order of curves, colours and rows
            {"figure_learning_curves": 1, "figure_predictor_accuracy": 1, "table_results": 1},
        ),
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
        "train_without_representation": 2,
        "train_with_representation": 1,
        "evaluate_variant": 3,
        **FIGURES,
        **TABLES,
    }
