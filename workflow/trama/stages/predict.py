"""Stage predict: the class predictor alone, on the collected trajectories.

What it makes of true tasks is an upper bound of what agents can know of them, from what each sees.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trama.config.params import PredictParams
from trama.data.parquet import Provenance, TableWriter, read_table
from trama.environments import EnvSpec, make_env
from trama.errors import TramaError
from trama.learning.build import build_predictor
from trama.learning.collected import insert_collected
from trama.learning.predictor import Accuracy, fit_predictor, measure_predictor
from trama.learning.replay import ReplayBuffer
from trama.progress import Progress
from trama.runtime import torch_device
from trama.seeds import derive_seed

logger = logging.getLogger("trama")


def predict(
    params: PredictParams,
    provenance: Provenance,
    *,
    trajectories: Path,
    embeddings: Path,
    predictor_accuracy: Path,
    threads: int,
) -> None:
    """Train a predictor on true tasks, and one on clusters, and measure both by time step.

    Both learn from the same of the clustered trajectories, in the same order, and are measured on
    these and on those that were held out. Which these are does not depend on the representation.

    Args:
        embeddings: of stage cluster, with the class of each trajectory.

    Raises:
        TramaError: a file is missing or broken, or they are not of the same trajectories.
    """
    device = torch_device(params.device)
    config = params.predict

    def seed(purpose: str) -> int:
        return derive_seed(params.study_seed, "predict", params.problem_name, params.seed, purpose)

    with make_env(params.problem, params.env, 1, threads) as env:
        spec = env.spec
    replay, slots, clusters = _clustered(trajectories, embeddings, spec)
    labels = {
        "true_task": (replay.task[slots], len(spec.tasks)),
        "clusters": (clusters, params.n_classes),
    }
    order = np.random.default_rng(seed("split")).permutation(slots)
    n_held_out = min(max(round(config.held_out * len(slots)), 1), len(slots) - 1)
    splits = {"trained": order[n_held_out:], "held_out": order[:n_held_out]}
    description = f"predict {params.problem_name} {params.representation_name} seed {params.seed}"
    with TableWriter(predictor_accuracy, "predictor_accuracy", provenance) as writer:
        for name, (label, n_classes) in labels.items():
            replay.label[slots] = label
            torch.manual_seed(seed("networks"))
            predictor = build_predictor(spec, params.network, params.hidden_size, n_classes, device)
            batches = np.random.default_rng(seed("batches"))
            with Progress(f"{description} {name}", config.updates, "updates") as progress:
                fit_predictor(
                    predictor, replay, splits["trained"], config, batches, device, progress.update
                )
            for split, part in splits.items():
                found = measure_predictor(predictor, replay, part, n_classes, device)
                logger.info(
                    "%s, %s: accuracy %.3f, balanced %.3f, majority rate %.3f",
                    *(name, split, found.accuracy[0], found.balanced[0], found.majority[0]),
                )
                writer.append(_rows(name, split, found))


def _clustered(
    trajectories: Path, embeddings: Path, spec: EnvSpec
) -> tuple[ReplayBuffer, np.ndarray, np.ndarray]:
    """The clustered episodes, their slots [M] in a buffer, and their clusters [M]."""
    table = read_table(embeddings, "embeddings")
    if len(table) < 2:
        raise TramaError(
            f"{embeddings}: holds {len(table)} trajectories, too few to hold some out. Raise "
            "collect.env_steps."
        )
    replay = ReplayBuffer(spec, len(table), 0)
    slots = insert_collected(replay, trajectories, spec)
    if [spec.tasks[number] for number in replay.task[slots]] != table["task"].to_pylist():
        raise TramaError(
            f"{embeddings}: the clusters are of other trajectories than those in {trajectories}. "
            "Run the target `cluster` again."
        )
    return replay, slots, table["label"].to_numpy().astype(np.int64)


def _rows(labels: str, split: str, found: Accuracy) -> dict[str, Any]:
    n_rows = len(found.accuracy)
    return {
        "labels": [labels] * n_rows,
        "split": [split] * n_rows,
        "step": [None, *range(n_rows - 1)],
        "accuracy": found.accuracy,
        "balanced_accuracy": found.balanced,
        "majority_rate": found.majority,
        "episodes": found.episodes.astype(np.int32),
        "predictions": found.predictions,
    }
