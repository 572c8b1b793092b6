"""The stages one after the other on a small environment, as the rules would run them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from fakes import RANDOM_SPEC, FakeEnv, Game, RandomGame, small_cluster, small_train
from trama.config.backends import Env
from trama.config.model import Collect, Evaluate, Predict, Pretrain, Representation
from trama.config.params import (
    ClusterParams,
    CollectParams,
    EvaluateParams,
    PredictParams,
    PretrainParams,
    RunSettings,
    TrainParams,
)
from trama.config.problems import UnitProblem, UnitTaskSet
from trama.data.parquet import Provenance, read_table
from trama.environments import Observation
from trama.stages.cluster import cluster
from trama.stages.collect import collect
from trama.stages.evaluate import evaluate
from trama.stages.predict import predict
from trama.stages.pretrain import pretrain
from trama.stages.train import train

PROBLEM = UnitProblem(units=("2s", "2z", "1s1z"), starts=("surrounded",))
TASK_SETS = {
    "fewer": UnitTaskSet(units=("1z", "2s"), starts=("surrounded",)),
    "starts": UnitTaskSet(units=("2s",), starts=("surrounding",)),
}
SPEC = replace(RANDOM_SPEC, tasks=("2s surrounded", "2z surrounded", "1s1z surrounded"))
PROVENANCE = Provenance("test", "any", "0123456789abcdef", 0, "0", "0")
QUANTISED = Representation(n_codes=24, code_dim=3, n_classes=3, relabel_rounds=2)
MEAN_STATE = Representation(embedding="mean_state", n_classes=3)
PREDICT = Predict(updates=60, batch_size=8, learning_rate=1e-2, held_out=0.3)
CHOSEN = Representation.model_validate(
    {"n_codes": 24, "code_dim": 3, "class_number": {"criterion": "value", "most": 5}}
)
PRETRAIN = Pretrain(updates=120, batch_size=8, learning_rate=1e-2, hidden_size=8)
Report = Callable[[int, int], int]
"""Number of a game in its environment, and its task, to the task id that is reported."""


def honest(number: int, task: int) -> int:
    return task


class ChainEnv(FakeEnv):
    """Also keeps the seeds of its resets, and the lengths of the games that ended in their order.

    `only` is a task to play alone; one that is none of the games is played as the first of them.
    """

    def __init__(self, n_envs: int, report: Report, only: str | None) -> None:
        spec = SPEC if only is None else replace(SPEC, tasks=(only,))
        super().__init__(spec, n_envs, self._open, report if only is None else lambda *_: 0)
        self.lengths: list[int] = []
        self.seeds: list[int] = []
        self.only = None
        if only is not None:
            self.only = SPEC.tasks.index(only) if only in SPEC.tasks else 0

    def reset(self, seed: int) -> Observation:
        self.seeds.append(seed)
        return super().reset(seed)

    def _open(self, rng: np.random.Generator) -> Game:
        env = self

        class Recorded(RandomGame):
            def act(self, actions: np.ndarray) -> tuple[float, bool, bool, bool]:
                result = super().act(actions)
                if result[1] or result[2]:
                    env.lengths.append(self.t)
                return result

        game = Recorded(rng)
        while self.only not in (None, game.task):
            game = Recorded(rng)
        return game


UseEnv = Callable[[Report], list[ChainEnv]]
"""Lets the stages play in `ChainEnv`, which reports tasks as told; the environments they make."""

JOB: dict[str, object] = {
    "algorithm_version": 1,
    "study_seed": 0,
    "problem_name": "small",
    "seed": 0,
    "device": "cpu",
}
RUN_SETTINGS = RunSettings()
_SHARED = (
    *("n_envs", "batch_size", "buffer_size", "episodes_per_update", "hidden_size", "qplex"),
    *("optimiser", "learning_rate"),
)


def run_collect(folder: Path, **changes: object) -> None:
    shared = {key: getattr(small_train(), key) for key in _SHARED}
    section = Collect.model_validate(shared | {"random_episodes": 10, "env_steps": 250} | changes)
    collect(
        CollectParams.model_validate(JOB | {"problem": PROBLEM, "env": Env(), "collect": section}),
        PROVENANCE,
        trajectories=folder / "trajectories.parquet",
        state_statistics=folder / "state_statistics.parquet",
        history=folder / "collect_history.parquet",
        learner=folder / "learner.pt",
        timing=folder / "collect_timing.parquet",
        run_settings=RUN_SETTINGS,
        threads=1,
    )


def run_pretrain(folder: Path, representation: Representation) -> None:
    named = JOB | {"representation_name": "r", "representation": representation}
    pretrain(
        PretrainParams.model_validate(named | {"pretrain": PRETRAIN, "cluster_n_init": 3}),
        PROVENANCE,
        trajectories=folder / "trajectories.parquet",
        state_statistics=folder / "state_statistics.parquet",
        vqvae=folder / "vqvae.pt",
        vqvae_history=folder / "vqvae_history.parquet",
    )


def run_cluster(
    folder: Path, representation: Representation, criteria: tuple[str, ...] = ()
) -> None:
    quantised = representation.has_codebook
    named = JOB | {"representation_name": "r", "representation": representation}
    cluster_keys = small_cluster().model_dump(exclude={"min_trajectories", "min_clusters"})
    cluster_keys["criteria"] = criteria
    section = {"pretrain": PRETRAIN if quantised else None, "cluster": cluster_keys}
    cluster(
        ClusterParams.model_validate(named | section),
        PROVENANCE,
        trajectories=folder / "trajectories.parquet",
        state_statistics=folder / "state_statistics.parquet",
        vqvae=folder / "vqvae.pt" if quantised else None,
        embeddings=folder / "embeddings.parquet",
        centroids=folder / "centroids.parquet",
        classifier=folder / "classifier.pt",
        cluster_metrics=folder / "cluster_metrics.parquet",
        codebook=folder / "codebook.parquet",
        class_numbers=folder / "class_numbers.parquet",
    )


def run_predict(
    folder: Path, output: str = "predictor_accuracy.parquet", **changes: object
) -> None:
    section = {"representation_name": "r", "n_classes": 3, "problem": PROBLEM, "env": Env()}
    section |= {"network": "flat", "hidden_size": 16, "predict": PREDICT}
    predict(
        PredictParams.model_validate(JOB | section | changes),
        PROVENANCE,
        trajectories=folder / "trajectories.parquet",
        embeddings=folder / "embeddings.parquet",
        predictor_accuracy=folder / output,
        threads=1,
    )


def run_evaluate(folder: Path, episodes: Path, **job: object) -> None:
    """Evaluate the two policies that training wrote, four episodes on each task.

    Also on `TASK_SETS`; the predictions, and what was played with given classes and with a
    fallback, stand beside the episodes.
    """
    section = {"variant_name": "v", "problem": PROBLEM, "env": Env(), "task_sets": TASK_SETS}
    settings = Evaluate(episodes=4, task_sets=tuple(TASK_SETS))
    evaluate(
        EvaluateParams.model_validate(JOB | section | {"evaluate": settings} | job),
        PROVENANCE,
        policy_last=folder / "policy_last.pt",
        policy_best=folder / "policy_best.pt",
        episodes=episodes,
        predictions=episodes.with_name(f"{episodes.stem}_predictions.parquet"),
        given_classes=episodes.with_name(f"{episodes.stem}_given_classes.parquet"),
        fallback=episodes.with_name(f"{episodes.stem}_fallback.parquet"),
        run_settings=RUN_SETTINGS,
        threads=1,
    )


def run_train(
    folder: Path,
    representation: Representation | None,
    labels: str | None = None,
    run_settings: RunSettings = RUN_SETTINGS,
    **changes: object,
) -> None:
    labels = labels or ("clusters" if representation else None)
    quantised = representation is not None and representation.has_codebook
    section = small_train(**{"env_steps": 300} | changes)
    starts_warm = representation is not None and section.warm_start
    start = section.start
    if start == "auto":
        start = "collect" if starts_warm or labels == "true_task" else "scratch"
    params = TrainParams.model_validate(
        JOB
        | {
            "variant_name": "v",
            "variant": {"mixer": "qplex", "labels": labels},
            "problem": PROBLEM,
            "env": Env(),
            "train": section,
            "representation_name": "r" if representation else None,
            "representation": representation,
            "pretrain": PRETRAIN if quantised else None,
            "cluster": small_cluster() if representation else None,
            "collect_env_steps": 250 if starts_warm or start != "scratch" else None,
        }
    )
    train(
        params,
        PROVENANCE,
        state_statistics=folder / "state_statistics.parquet",
        trajectories=folder / "trajectories.parquet" if start != "scratch" else None,
        collected_learner=folder / "learner.pt" if start == "collect" else None,
        vqvae=folder / "vqvae.pt" if quantised and starts_warm else None,
        centroids=folder / "centroids.parquet" if starts_warm else None,
        classifier=folder / "classifier.pt" if starts_warm else None,
        policy_last=folder / "policy_last.pt",
        policy_best=folder / "policy_best.pt",
        history=folder / "history.parquet",
        embeddings=folder / "train_embeddings.parquet" if representation else None,
        codebook=folder / "train_codebook.parquet" if representation else None,
        timing=folder / "timing.parquet",
        checkpoint=folder.with_name(folder.name + "_checkpoints") / "key",
        run_settings=run_settings,
        threads=1,
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if "timing" not in p.name}


def history_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Metric -> (env steps, value), over all tasks and steps."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in read_table(folder / "history.parquet", "history").to_pylist():
        if row["task"] is None and row["step"] is None:
            found.setdefault(row["metric"], []).append((row["env_steps"], row["value"]))
    return found


def run_chain(folder: Path, representation: Representation) -> None:
    folder.mkdir()
    run_collect(folder)
    if representation.has_codebook:
        run_pretrain(folder, representation)
    run_cluster(folder, representation)
    run_train(folder, representation)
