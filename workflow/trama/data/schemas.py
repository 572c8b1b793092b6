"""What each Parquet file holds: one schema per kind of file, every column described.

`workflow/schemas/data_card.md` is generated from this module:
``PYTHONPATH=workflow python -m trama.data.schemas workflow/schemas/data_card.md``.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class FileKind:
    """One kind of Parquet file.

    Attributes:
        description: what the file holds and what one row is.
        stages: the stages (and Snakemake targets) that write it, the usual one first.
        location: path below ``results/<study>/<problem>/``, one for each stage.
        schema: columns in order; the description of each is in its field metadata.
        metrics: legal values of the column `metric`, where there is one, with their meaning.
    """

    description: str
    stages: tuple[str, ...]
    location: tuple[str, ...]
    schema: pa.Schema
    metrics: Mapping[str, str] = field(default_factory=dict)


def _column(name: str, kind: pa.DataType, description: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


def _list_of(kind: pa.DataType) -> pa.DataType:
    # Where no value can be null, Parquet keeps one level less for each: a third of the time.
    return pa.list_(pa.field("element", kind, nullable=False))


_FLOATS = _list_of(pa.float32())


def _values(name: str, kind: str, description: str) -> pa.Field:
    """Declare a column whose rows are the bytes of F little-endian values of the numpy type `kind`.

    For what is wide and comes by the million rows: a list costs Parquet time for every value, the
    bytes of a row are one value to it.
    """
    metadata = {"description": description, "values": kind}
    return pa.field(name, pa.binary(), nullable=False, metadata=metadata)


def values_type(column: pa.Field) -> np.dtype | None:
    """Return the type of the values whose bytes a column holds; None for any other column."""
    kind = (column.metadata or {}).get(b"values")
    return None if kind is None else np.dtype(kind.decode()).newbyteorder("<")


def type_name(column: pa.Field) -> str:
    """Return how a column's type is named in the data card and in errors."""
    values = values_type(column)
    if values is not None:
        return f"binary of {values.name}"
    if pa.types.is_list(column.type):
        return f"list of {column.type.value_type}"
    return str(column.type)


_COLLECT = "collect/seed_<s>/"
_REPRESENTATION = "representation/<r>/seed_<s>/"
_TRAIN = "train/<v>/seed_<s>/"
_EVALUATE = "evaluate/<v>/seed_<s>/"

_OF_RUN = [
    _column("problem", pa.string(), "name of the problem"),
    _column("variant", pa.string(), "name of the variant"),
    _column("seed", pa.int32(), "seed of the training run, from study.seeds"),
    _column(
        "policy",
        pa.string(),
        "`last`: at the end of training; `best`: at its best test",
    ),
]
_TASK = _column("task", pa.string(), "name of the true task")
_OF_EVALUATION = [
    *_OF_RUN,
    _column(
        "task_set",
        pa.string(),
        "set of tasks that the task belongs to; `trained`: the problem's own",
    ),
    _TASK,
]
"""Columns that tell which policy played which task."""

METRICS: dict[str, str] = {
    "test_return": "Mean undiscounted return of the greedy test episodes, overall and per task.",
    "test_win_rate": "Share of the greedy test episodes that were won, overall and per task.",
    "train_return": (
        "Mean undiscounted return of the training episodes since the last record, overall and per"
        " task."
    ),
    "train_win_rate": (
        "Share of the training episodes since the last record that were won, overall and per task."
    ),
    "td_loss": "Mean squared TD error of the joint action value over the real steps of the batch.",
    "grad_norm": "Norm of the learner's gradient before clipping.",
    "q_mean": "Mean joint action value of the actions taken, over the real steps of the batch.",
    "epsilon": "Probability of a random action in training.",
    "lost_episodes": (
        "Episodes thrown away so far, since the game that they were played in failed and was "
        "started anew. Their env steps count, but nothing learns from them. Only once there is one."
    ),
    "predictor_loss": (
        "Cross-entropy of the class predictor against the pseudo-labels, mean over agents and "
        "real steps."
    ),
    "predictor_accuracy": (
        "Share of predictions that agree with the pseudo-label, overall and by time step."
    ),
    "predictor_balanced_accuracy": (
        "Mean over the classes of the predictor's accuracy within the class."
    ),
    "majority_rate": "Accuracy of always naming the most frequent pseudo-label.",
    "vqvae_loss": "Weighted sum of the four terms of the VQ-VAE's loss.",
    "vqvae_reconstruction": "Mean squared error of the decoded standardised state.",
    "vqvae_vq": "Squared distance of the code to the encoding, whose gradient moves the code.",
    "vqvae_commitment": (
        "Squared distance of the encoding to its code, whose gradient moves the encoder."
    ),
    "vqvae_coverage": (
        "Mean squared distance of the encoding to the codes of its coverage index set J."
    ),
    "codes_in_use": "Different codes used by the states that were quantised.",
    "n_classes": "Classes that were chosen; only where they are chosen from the data.",
    "label_consistency": (
        "Share of the trajectories present before and after a clustering that kept their label."
    ),
    "label_consistency_chance": (
        "Share that would keep its label if the new labels were dealt at random in the same "
        "numbers."
    ),
    "classifier_accuracy": (
        "Share of the clustered trajectories to which the classifier gives their new label."
    ),
    "silhouette": "Mean silhouette of the embeddings under the current labels, from -1 to 1.",
    "ari": "Adjusted Rand index of the labels against the true tasks; 0 is chance, 1 is identity.",
    "nmi": "Normalised mutual information of the labels and the true tasks, from 0 to 1.",
    "class_share": "Share of the clustered trajectories in the class that the task column names.",
    "class_swap_effect": (
        "Mean absolute change of the available action values when the used class is replaced by "
        "another, over their standard deviation; mean over all other classes."
    ),
    "class_swap_actions": (
        "Share of greedy actions that change when the used class is replaced by another; mean over "
        "all other classes."
    ),
}
"""Values of `metric` in a history, each explained in a sentence."""

CLUSTER_METRICS: dict[str, str] = {
    "silhouette": "Mean silhouette of the embeddings under their labels, from -1 to 1.",
    "ari": "Adjusted Rand index of the labels against the true tasks; 0 is chance, 1 is identity.",
    "nmi": "Normalised mutual information of the labels and the true tasks, from 0 to 1.",
    "codes_in_use": (
        "Different codes used by the states of the clustered trajectories (quantised embeddings "
        "only)."
    ),
    "class_size": "Trajectories in the class that the class column names.",
    "n_trajectories": "Trajectories that were clustered.",
    "classifier_accuracy": (
        "Share of the clustered trajectories to which the classifier gives their label."
    ),
}
"""Values of `metric` in cluster_metrics, each explained in a sentence."""

PREDICTION_METRICS: dict[str, str] = {
    "class_probability": (
        "Mean probability that the predictors give to the class that the class column names."
    ),
    "class_share": "Share of the agents whose class is the one that the class column names.",
    "entropy": (
        "Mean entropy of the predicted distributions over log K: 0 is certainty, 1 indifference."
    ),
    "agreement": "Mean over the episodes of the share of agents with their most frequent class.",
    "confidence": "Mean over the episodes of the score of novelty of this name, see `episodes`.",
    "energy": "The same of the score of this name.",
    "disagreement": "The same of the score of this name.",
    "distance": "The same of the score of this name.",
}
"""Values of `metric` in predictions, each explained in a sentence."""

PHASES: dict[str, str] = {
    "environment": "steps of the training environments, compilation included",
    "play": "the agents' actions and classes in them, and the replay buffer",
    "update": "updates of agents and mixer, with the draw of the batch",
    "predictor": "loss and gradient of the class predictor in these updates",
    "label": "classes of new episodes, by embedding and classifier",
    "vqvae": "updates of the VQ-VAE",
    "cluster": "embedding and clustering the episodes anew, and the classifier",
    "test": "test episodes, and what is measured of them",
    "checkpoint": "writing checkpoints",
}
"""Values of `phase` in a timing, each explained; together they are nearly all of the time."""

PHASES_OF_CLASSES = ("predictor", "label", "vqvae", "cluster")
"""Those of `PHASES` that only trajectory classes have."""

_NOVELTY: dict[str, str] = {
    "confidence": (
        "1 - the largest class probability, of logits over a temperature that was fitted on "
        "labelled episodes of training, mean over living agents"
    ),
    "energy": "-logsumexp of the class predictor's logits, mean over living agents",
    "disagreement": (
        "Jensen-Shannon divergence of the living agents' class probabilities of such logits, in "
        "nats"
    ),
    "distance": (
        "Mahalanobis distance of the class predictor's hidden state to the nearest class mean, of "
        "means and one covariance that were fitted on labelled episodes of training, mean over "
        "living agents"
    ),
}
"""Scores of novelty, each explained in words."""

KINDS: dict[str, FileKind] = {
    "trajectories": FileKind(
        "Every episode of the baseline, from random to half-trained play. An episode of T steps "
        "has T+1 rows: row t holds what the agents saw at step t, what they did, and what came of"
        " it; the final row holds the last observation alone (actions -1, reward 0, flags false).",
        ("collect",),
        (_COLLECT + "trajectories.parquet",),
        pa.schema(
            [
                _column("episode", pa.int32(), "number of the episode, from 0, in order of ending"),
                _column("step", pa.int16(), "time step within the episode, from 0"),
                _column(
                    "task",
                    pa.string(),
                    "name of the true task; for measuring only",
                ),
                _values(
                    "obs",
                    "float16",
                    "observations as the A agents saw them, agent by agent: A*O values, unscaled",
                ),
                _values("state", "float32", "global state: S values, unscaled"),
                _values(
                    "available_actions",
                    "bool",
                    "whether each agent may take each action, agent by agent: A*U flags",
                ),
                _column(
                    "actions",
                    _list_of(pa.int8()),
                    "action of each of the A agents; -1 in the final row",
                ),
                _column(
                    "reward",
                    pa.float32(),
                    "team reward of the step, scaled by the backend's reward_scale",
                ),
                _column("terminated", pa.bool_(), "the episode was decided at this step"),
                _column("truncated", pa.bool_(), "the time limit cut the episode after this step"),
                _column("won", pa.bool_(), "the team won at this step"),
            ]
        ),
    ),
    "state_statistics": FileKind(
        "Mean and standard deviation of features of the states, one row per feature and source.",
        ("collect",),
        (_COLLECT + "state_statistics.parquet",),
        pa.schema(
            [
                _column("feature", pa.string(), "name of the feature"),
                _column(
                    "states",
                    pa.string(),
                    "`standardised`: entries of the state; `summed`: sums of entries over like "
                    "units, in whose names the unit's number is left out",
                ),
                _column("mean", pa.float32(), "mean over all steps, in the feature's own unit"),
                _column(
                    "std",
                    pa.float32(),
                    "standard deviation over all steps, at least collect.std_floor",
                ),
                _column(
                    "correlation_ratio",
                    pa.float32(),
                    "root of the share of the variance that lies between episodes: 1 where the "
                    "feature never changes within one, 0 where all episodes have the same mean",
                ),
                _column(
                    "source",
                    pa.string(),
                    "`random`: warm-up episodes of random play; `all`: the full data set",
                ),
            ]
        ),
    ),
    "history": FileKind(
        "What was measured while a policy learned, one row per value (tidy).",
        ("train", "collect"),
        (_TRAIN + "history.parquet", _COLLECT + "history.parquet"),
        pa.schema(
            [
                _column(
                    "env_steps",
                    pa.int64(),
                    "environment steps played so far, those of collect counted where its data "
                    "were used",
                ),
                _column("update", pa.int64(), "learner updates done so far"),
                _column("episode", pa.int64(), "training episodes finished so far"),
                _column("metric", pa.string(), "name of the metric, see below"),
                _column(
                    "task",
                    pa.string(),
                    "name of the true task, or `class k` for class_share; null: all together",
                    nullable=True,
                ),
                _column(
                    "step",
                    pa.int32(),
                    "time step within the episode, for metrics given by time step; else null",
                    nullable=True,
                ),
                _column("value", pa.float64(), "the value"),
            ]
        ),
        METRICS,
    ),
    "vqvae_history": FileKind(
        "Losses of the VQ-VAE's pretraining, one row per recorded update.",
        ("pretrain",),
        (_REPRESENTATION + "vqvae_history.parquet",),
        pa.schema(
            [
                _column("update", pa.int64(), "updates done so far"),
                _column("loss", pa.float64(), "weighted sum of the four terms"),
                _column(
                    "reconstruction",
                    pa.float64(),
                    "mean squared error of the decoded standardised state",
                ),
                _column(
                    "vq",
                    pa.float64(),
                    "squared distance of the code to the encoding, gradient to the code",
                ),
                _column(
                    "commitment",
                    pa.float64(),
                    "squared distance of the encoding to its code, gradient to the encoder",
                ),
                _column(
                    "coverage",
                    pa.float64(),
                    "mean squared distance of the encoding to the codes of its index set J",
                ),
                _column("codes_in_use", pa.int32(), "different codes used in the batch"),
            ]
        ),
    ),
    "embeddings": FileKind(
        "Trajectory embeddings with their class and true task, one row per trajectory and "
        "clustering.",
        ("cluster", "train"),
        (_REPRESENTATION + "embeddings.parquet", _TRAIN + "embeddings.parquet"),
        pa.schema(
            [
                _column("env_steps", pa.int64(), "environment steps at the clustering"),
                _column("episode", pa.int32(), "number of the trajectory's episode"),
                _column("task", pa.string(), "name of the true task; for measuring only"),
                _column("label", pa.int32(), "class that K-means gave, from 0"),
                _column(
                    "embedding",
                    _FLOATS,
                    "mean over the trajectory's real steps: d values (quantised) or S values "
                    "(standardised state)",
                ),
            ]
        ),
    ),
    "codebook": FileKind(
        "Use of the codes by class and true task, one row per clustering and combination that "
        "occurs; no rows for the representation `mean_state`.",
        ("cluster", "train"),
        (_REPRESENTATION + "codebook.parquet", _TRAIN + "codebook.parquet"),
        pa.schema(
            [
                _column("env_steps", pa.int64(), "environment steps at the clustering"),
                _column("code", pa.int32(), "number of the code, from 0"),
                _column("task", pa.string(), "name of the true task; for measuring only"),
                _column("label", pa.int32(), "class that K-means gave the trajectory, from 0"),
                _column(
                    "count",
                    pa.int64(),
                    "states that the code is nearest to: of all trajectories that were clustered "
                    "(cluster), of the newest 256 (train)",
                ),
            ]
        ),
    ),
    "centroids": FileKind(
        "Centroids of K-means, one row per class.",
        ("cluster",),
        (_REPRESENTATION + "centroids.parquet",),
        pa.schema(
            [
                _column("class", pa.int32(), "class, from 0"),
                _column("centroid", _FLOATS, "centroid in the space of the embeddings"),
                _column("trajectories", pa.int32(), "trajectories of the class"),
                _column(
                    "mean_distance",
                    pa.float64(),
                    "mean distance of their embeddings to the centroid; 0 without any",
                ),
            ]
        ),
    ),
    "class_numbers": FileKind(
        "What criteria say about the number of classes, one row per criterion and candidate: the "
        "criterion of the representation's own `class_number`, and `cluster.criteria`. No rows "
        "without any.",
        ("cluster",),
        (_REPRESENTATION + "class_numbers.parquet",),
        pa.schema(
            [
                _column("criterion", pa.string(), "name of the criterion"),
                _column("n_classes", pa.int32(), "candidate K, from 2"),
                _column(
                    "score",
                    pa.float64(),
                    "silhouette: mean; gap: gap statistic; bic, slope: log likelihood of a mixture "
                    "less its penalty, per trajectory; stability: prediction strength; value: "
                    "explained share of the variance of returns-to-go; foretold: Cohen's kappa of "
                    "the class and the one told by the first state. Higher is better, but each "
                    "criterion has its rule",
                ),
                _column(
                    "standard_error",
                    pa.float64(),
                    "of the score; null for criteria whose rule knows none",
                    nullable=True,
                ),
                _column("chosen", pa.bool_(), "the criterion chooses this K"),
            ]
        ),
    ),
    "cluster_metrics": FileKind(
        "Measures of the clustering, one row per value.",
        ("cluster",),
        (_REPRESENTATION + "cluster_metrics.parquet",),
        pa.schema(
            [
                _column("metric", pa.string(), "name of the metric, see below"),
                _column("class", pa.int32(), "class, for class_size; else null", nullable=True),
                _column("value", pa.float64(), "the value; sizes in trajectories"),
            ]
        ),
        CLUSTER_METRICS,
    ),
    "predictor_accuracy": FileKind(
        "What the class predictor learns from the collected trajectories alone: how often agents "
        "name the label of a trajectory, from what they have seen so far; one row per kind of "
        "labels, split and time step, and one for all steps together.",
        ("predict",),
        (_REPRESENTATION + "predictor_accuracy.parquet",),
        pa.schema(
            [
                _column(
                    "labels",
                    pa.string(),
                    "`true_task`: the true tasks, an upper bound of what agents can know; "
                    "`clusters`: the classes that stage cluster gave",
                ),
                _column(
                    "split",
                    pa.string(),
                    "`trained`: trajectories that it learned from; `held_out`: the others",
                ),
                _column(
                    "step",
                    pa.int32(),
                    "time step within the trajectory, from 0; null: all steps",
                    nullable=True,
                ),
                _column(
                    "accuracy",
                    pa.float64(),
                    "share of right predictions, over all agents of the trajectories that run at "
                    "the step",
                ),
                _column(
                    "balanced_accuracy",
                    pa.float64(),
                    "mean of this share over the labels that these trajectories have",
                ),
                _column(
                    "majority_rate",
                    pa.float64(),
                    "accuracy of always naming the most frequent of their labels",
                ),
                _column("episodes", pa.int32(), "trajectories that run at the step"),
                _column("predictions", pa.int64(), "predictions of agents that were counted"),
            ]
        ),
    ),
    "episodes": FileKind(
        "Greedy test episodes of the final policies, one row per episode.",
        ("evaluate",),
        (_EVALUATE + "episodes.parquet",),
        pa.schema(
            [
                *_OF_EVALUATION,
                _column(
                    "units_changed",
                    pa.int32(),
                    "least number of units in which the team differs from a trained combination; "
                    "missing units count; null without units",
                    nullable=True,
                ),
                _column(
                    "start_trained",
                    pa.bool_(),
                    "whether the problem trains on the task's start; null without units",
                    nullable=True,
                ),
                _column(
                    "episode", pa.int32(), "number of the episode within policy and task, from 0"
                ),
                _column(
                    "episode_return",
                    pa.float64(),
                    "undiscounted sum of the scaled team rewards; in SMAX, damage counts as a "
                    "share of a whole team's health, so it is worth less where units are missing",
                ),
                _column("length", pa.int32(), "time steps of the episode"),
                _column("won", pa.bool_(), "the team won, or succeeded as the backend defines it"),
                _column(
                    "class",
                    pa.int32(),
                    "most frequent class over steps and living agents; null without classes",
                    nullable=True,
                ),
                _column(
                    "entropy",
                    pa.float64(),
                    "entropy of the predicted class distribution over log K, mean over steps and "
                    "living agents: 0 is certainty, 1 indifference; null without classes",
                    nullable=True,
                ),
                _column(
                    "agreement",
                    pa.float64(),
                    "share of the living agents that have their step's most frequent class, mean "
                    "over steps; null without classes",
                    nullable=True,
                ),
                *(
                    _column(
                        name,
                        pa.float64(),
                        "score of novelty, larger for what looks less like the tasks of training: "
                        f"{meaning}, mean over steps; null without classes, and where training had "
                        "no labels yet",
                        nullable=True,
                    )
                    for name, meaning in _NOVELTY.items()
                ),
                _column(
                    "swap_effect",
                    pa.float64(),
                    "mean absolute change of the available action values when all agents' classes "
                    "are replaced by others, over the standard deviation of the values in all "
                    "these episodes on the task; mean over all other classes; agents with one "
                    "available action do not count; null without classes",
                    nullable=True,
                ),
                _column(
                    "swap_actions",
                    pa.float64(),
                    "share of the greedy actions that this changes; null without classes",
                    nullable=True,
                ),
                _column(
                    "centroid_distance",
                    pa.float64(),
                    "distance of the trajectory's embedding to the nearest centroid, over the mean "
                    "distance of the labelled training trajectories to theirs, in the policy's own "
                    "representation; null without one",
                    nullable=True,
                ),
            ]
        ),
    ),
    "predictions": FileKind(
        "Classes that agents predict over time in the episodes of the evaluation, one row per "
        "value; over living agents of the episodes that run at the step. No rows without classes.",
        ("evaluate",),
        (_EVALUATE + "predictions.parquet",),
        pa.schema(
            [
                *_OF_EVALUATION,
                _column("step", pa.int32(), "time step within the episode, from 0"),
                _column("metric", pa.string(), "name of the metric, see below"),
                _column(
                    "class",
                    pa.int32(),
                    "class, for class_probability and class_share; else null",
                    nullable=True,
                ),
                _column("value", pa.float64(), "the value"),
                _column("episodes", pa.int32(), "episodes that run at the step"),
            ]
        ),
        PREDICTION_METRICS,
    ),
    "given_classes": FileKind(
        "Greedy test episodes on the problem's own tasks in which all agents use a class that they "
        "are given, not the predicted one; one row per episode. An episode starts as that of its "
        "number in `episodes` does. No rows without classes.",
        ("evaluate",),
        (_EVALUATE + "given_classes.parquet",),
        pa.schema(
            [
                *_OF_RUN,
                _TASK,
                _column(
                    "given",
                    pa.string(),
                    "`true_class`: the class that stands for the task, which is its id for an "
                    "oracle, else the most frequent one of its labelled episodes in the replay "
                    "buffer when the policy was kept; `random_class`: any class, drawn for each "
                    "episode; `wrong_class`: one that stands for other tasks, drawn likewise; "
                    "`no_class`: none, for policies that learnt without one in some episodes. No "
                    "rows of what is unknown",
                ),
                _column("class", pa.int32(), "the class; null for none", nullable=True),
                _column(
                    "episode", pa.int32(), "number of the episode within policy and task, from 0"
                ),
                _column(
                    "episode_return", pa.float64(), "undiscounted sum of the scaled team rewards"
                ),
                _column("length", pa.int32(), "time steps of the episode"),
                _column("won", pa.bool_(), "the team won"),
            ]
        ),
    ),
    "fallback": FileKind(
        "Greedy test episodes in which agents use no class while their episode looks novel to them "
        "(`evaluate.fallback`); one row per episode. An episode starts as that of its number in "
        "`episodes` does. No rows without a fallback, and for policies that never learnt without a "
        "class.",
        ("evaluate",),
        (_EVALUATE + "fallback.parquet",),
        pa.schema(
            [
                *_OF_EVALUATION,
                _column(
                    "episode", pa.int32(), "number of the episode within policy and task, from 0"
                ),
                _column(
                    "episode_return", pa.float64(), "undiscounted sum of the scaled team rewards"
                ),
                _column("length", pa.int32(), "time steps of the episode"),
                _column("won", pa.bool_(), "the team won"),
                _column(
                    "class_free",
                    pa.float64(),
                    "share of the steps of living agents at which they used no class",
                ),
            ]
        ),
    ),
    "timing": FileKind(
        "Wall times and memory of a training's parts; nothing else depends on them and no other "
        "file holds any. Nothing waits for a GPU to measure times: what was started there counts "
        "where the host next waits for it, often in `play`. Memory is watched in the first 16 "
        "calls of a phase, and then in those of a power of two.",
        ("train", "collect"),
        (_TRAIN + "timing.parquet", _COLLECT + "timing.parquet"),
        pa.schema(
            [
                _column(
                    "phase",
                    pa.string(),
                    "; ".join(f"`{phase}`: {meaning}" for phase, meaning in PHASES.items()),
                ),
                _column("seconds", pa.float64(), "wall time spent in it alone, in seconds"),
                _column(
                    "count",
                    pa.int64(),
                    "how often it came up",
                ),
                _column(
                    "memory_mb",
                    pa.float64(),
                    "the most memory of the process (resident, MB of 2^20 bytes) that a watched "
                    "call took beyond what was held at its start, without that of phases within "
                    "it; its first call may load libraries; null where the system does not count",
                    nullable=True,
                ),
                _column(
                    "gpu_memory_mb",
                    pa.float64(),
                    "the same of tensors on the GPU; null without one",
                    nullable=True,
                ),
            ]
        ),
    ),
}


def data_card() -> str:
    """Return the data card: every kind of file, column and metric, as Markdown."""
    lines = [
        "# Data card",
        "",
        "Generated from `workflow/trama/data/schemas.py`; do not edit by hand.",
        "",
        "All files are Parquet (zstd, checksummed pages, small row groups), below "
        "`results/<study>/<problem>/`. Within one file every list of a column has"
        " the same length.",
        "A row of a column of type `binary of <type>` holds the bytes of its values, little-endian "
        "and as many in every row. An array [n, F] of the n rows of such a column, here of float16:"
        ' `np.frombuffer(b"".join(column), "float16").reshape(n, -1)`.',
        "The key-value metadata of each file hold `schema` (the name below), "
        "`study`, `stage`, "
        "`params_hash` (of the parameters that the result depends on), `seed` "
        "(absent where none "
        "applies), `code_version` and `environment_version`.",
        "",
        "Sizes: A agents, O observation, U actions, S state, d code.",
    ]
    for name, kind in KINDS.items():
        lines += ["", f"## {name}", "", kind.description, ""]
        lines += [
            f"Written by `{stage}`: `{location}`"
            for stage, location in zip(kind.stages, kind.location, strict=True)
        ]
        lines += ["", "| column | type | null | meaning |", "| --- | --- | --- | --- |"]
        for column in kind.schema:
            nullable = "yes" if column.nullable else "no"
            description = column.metadata[b"description"].decode()
            lines.append(f"| {column.name} | {type_name(column)} | {nullable} | {description} |")
        if kind.metrics:
            lines += ["", "| metric | meaning |", "| --- | --- |"]
            lines += [f"| {metric} | {meaning} |" for metric, meaning in kind.metrics.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(data_card(), encoding="utf-8")
