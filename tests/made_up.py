"""Files of a small made-up study, as the stages would write them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trama.data.parquet import Provenance, write_table
from trama.data.schemas import KINDS
from trama.reporting.detection import SCORES
from trama.reporting.statistics import Files

PROVENANCE = Provenance("made_up", "train", "0123456789abcdef", 0, "0.1.0", "feedbeef")
VARIANTS = ("qmix", "qplex", "trama")
TASKS = ("2c3s surrounded", "2c3z surrounded", "3s2z surrounded")


def write_history(path: Path, rows: list[tuple[int, str, str | None, int | None, float]]) -> Path:
    """Write rows (env_steps, metric, task, step, value) as a history."""
    env_steps, metric, task, step, value = zip(*rows, strict=True)
    columns = {
        "env_steps": env_steps,
        "update": [n // 100 for n in env_steps],
        "episode": [n // 50 for n in env_steps],
        "metric": metric,
        "task": task,
        "step": step,
        "value": value,
    }
    write_table(path, "history", {k: list(v) for k, v in columns.items()}, PROVENANCE)
    return path


def write_training_history(path: Path, variant: str, seed: int, *, predictor: bool) -> Path:
    """Write the history of a training run that improves and, with `predictor`, of its predictor."""
    rng = np.random.default_rng([seed, len(variant)])
    level = {"qmix": 0.12, "qplex": 0.38, "trama": 0.45}.get(variant, 0.3)
    rows: list[tuple[int, str, str | None, int | None, float]] = []
    for env_steps in range(0, 210_000, 10_000):
        won = level / (1 + np.exp(-(env_steps - 90_000) / 25_000)) + rng.normal(0, 0.02)
        won = float(np.clip(won, 0, 1))
        rows.append((env_steps, "test_win_rate", None, None, won))
        rows.append((env_steps, "test_win_rate", TASKS[0], None, won))
        rows.append((env_steps, "test_return", None, None, 4 + 16 * won + rng.normal(0, 0.3)))
    if predictor:
        for env_steps in (100_000, 200_000):
            rows.append((env_steps, "majority_rate", None, None, 0.42 + 0.02 * seed))
            rows.append((env_steps, "predictor_accuracy", None, None, 0.85))
            rows.append((env_steps, "predictor_balanced_accuracy", None, None, 0.8 + 0.05 * seed))
            at = env_steps + 500 * seed
            rows.append((at, "label_consistency", None, None, 0.7 + env_steps / 1e6 + 0.02 * seed))
            rows.append((at, "label_consistency_chance", None, None, 0.35))
            for step in range(100 + seed):
                value = 0.95 - 0.5 * np.exp(-step / 12) * (1 if env_steps == 200_000 else 2)
                value += rng.normal(0, 0.01)
                rows.append((env_steps, "predictor_accuracy", None, step, float(max(value, 0))))
    return write_history(path, rows)


def write_embeddings(
    path: Path, seed: int, steps: tuple[int, ...] = (0,), n: int = 900, size: int = 4
) -> Path:
    """Write the embeddings of n trajectories in three overlapping clusters, at env `steps`."""
    rng = np.random.default_rng(seed)
    env_steps = np.repeat(np.array(steps, dtype=np.int64), n)
    n *= len(steps)
    centres = rng.normal(0, 1.2, (3, size))
    label = rng.integers(0, 3, n)
    task = np.where(rng.random(n) < 0.85, label, rng.integers(0, 3, n))
    columns = {
        "env_steps": env_steps,
        "episode": np.arange(n),
        "task": [TASKS[t] for t in task],
        "label": label,
        "embedding": (centres[label] + rng.normal(0, 0.5, (n, size))).astype(np.float32),
    }
    write_table(path, "embeddings", columns, PROVENANCE)
    return path


def write_cluster_metrics(path: Path, *, quantised: bool) -> Path:
    """Write metrics of a clustering of 1,000 trajectories in classes of 500, 300 and 200."""
    rows: list[tuple[str, int | None, float]] = [
        ("silhouette", None, 0.35),
        ("ari", None, 0.471),
        ("nmi", None, -0.001),
        ("n_trajectories", None, 1000.0),
        ("classifier_accuracy", None, 0.99),
        *(("class_size", k, size) for k, size in enumerate((500.0, 300.0, 200.0))),
    ]
    if quantised:
        rows.append(("codes_in_use", None, 57.0))
    metric, label, value = (list(column) for column in zip(*rows, strict=True))
    columns = {"metric": metric, "class": label, "value": value}
    write_table(path, "cluster_metrics", columns, PROVENANCE)
    return path


def write_predictor_accuracy(path: Path, seed: int) -> Path:
    """Write what a predictor alone was measured at: better with each step, and on true tasks."""
    rows: list[dict[str, object]] = []
    for labels, level in (("true_task", 0.9), ("clusters", 0.8)):
        for split, better in (("trained", 0.05), ("held_out", 0.0)):
            for step in (None, *range(40 + seed)):
                gained = 0.5 if step is None else 1 - np.exp(-step / 8)
                accuracy = level * (0.5 + 0.5 * gained) + better + 0.01 * seed
                rows.append(
                    {
                        "labels": labels,
                        "split": split,
                        "step": step,
                        "accuracy": accuracy,
                        "balanced_accuracy": accuracy - 0.03,
                        "majority_rate": 0.4 + 0.02 * seed,
                        "episodes": 100,
                        "predictions": 500,
                    }
                )
    columns = {
        name: [row[name] for row in rows] for name in KINDS["predictor_accuracy"].schema.names
    }
    write_table(path, "predictor_accuracy", columns, PROVENANCE)
    return path


def write_episodes(
    path: Path, rows: list[tuple[str, str, str, float, bool]], problem: str = "SurComb3"
) -> Path:
    """Write rows (policy, task set, task, return, won) as an evaluation of one run."""
    policy, task_set, task, episode_return, won = (list(c) for c in zip(*rows, strict=True))
    columns = {
        "problem": [problem] * len(rows),
        "variant": [path.parent.parent.name] * len(rows),
        "seed": [int(path.parent.name.removeprefix("seed_"))] * len(rows),
        "policy": policy,
        "task_set": task_set,
        "task": task,
        "units_changed": [0] * len(rows),
        "start_trained": [True] * len(rows),
        "episode": list(range(len(rows))),
        "episode_return": episode_return,
        "length": [40] * len(rows),
        "won": won,
        **dict.fromkeys(
            (
                *("class", "entropy", "agreement", *SCORES),
                *("swap_effect", "swap_actions", "centroid_distance"),
            ),
            [None] * len(rows),
        ),
    }
    write_table(path, "episodes", columns, PROVENANCE)
    return path


def write_histories(folder: Path, n_seeds: int = 2) -> dict[str, dict[int, Path]]:
    return {
        variant: {
            seed: write_training_history(
                folder / "train" / variant / f"seed_{seed}" / "history.parquet",
                variant,
                seed,
                predictor=variant == "trama",
            )
            for seed in range(n_seeds)
        }
        for variant in VARIANTS
    }


def write_representations(folder: Path) -> tuple[Files, Files]:
    folders = {
        name: {seed: folder / "representation" / name / f"seed_{seed}" for seed in (0, 1)}
        for name in ("vqvae", "mean_state")
    }
    points = {
        name: {s: write_embeddings(f / "embeddings.parquet", s) for s, f in seeds.items()}
        for name, seeds in folders.items()
    }
    metrics = {
        name: {
            s: write_cluster_metrics(f / "cluster_metrics.parquet", quantised=name == "vqvae")
            for s, f in seeds.items()
        }
        for name, seeds in folders.items()
    }
    return points, metrics


def write_evaluations(folder: Path) -> Files:
    """Two seeds of two variants, four episodes of one task and two of the other."""
    # Wins of (task a: 4 episodes, task b: 2 episodes).
    wins = {("qmix", 0): (1, 0), ("qmix", 1): (3, 1), ("trama", 0): (4, 2), ("trama", 1): (4, 1)}
    files: dict[str, dict[int, Path]] = {}
    for (variant, seed), (in_a, in_b) in wins.items():
        rows = [("last", "trained", "task_a", float(10 * seed - 5), i < in_a) for i in range(4)]
        rows += [("last", "trained", "task_b", 7.0, i < in_b) for i in range(2)]
        rows += [("best", "trained", "task_a", 1.0, True), ("last", "ood", "x", 1.0, True)]
        path = folder / "evaluate" / variant / f"seed_{seed}" / "episodes.parquet"
        files.setdefault(variant, {})[seed] = write_episodes(path, rows)
    return files


# Task sets and their tasks: units changed, and how far they lie from the trained ones.
OTHER_TASKS: dict[str, tuple[tuple[str, int, float], ...]] = {
    "one_changed": (("2s3z surrounded", 1, 1.3), ("2c1s2z surrounded", 1, 1.5)),
    "fewer_allies": (("2s1z surrounded", 2, 2.1), ("1c2z surrounded", 2, 2.4)),
}
_LEVELS = {"vdn": 0.1, "qmix": 0.15, "qplex": 0.4, "trama": 0.55}


def write_evaluation(
    folder: Path, variant: str, seed: int, *, classes: bool, problem: str = "SurComb3"
) -> tuple[Path, Path]:
    """Write 30 episodes on each task of a problem and of `OTHER_TASKS`, and the predictions."""
    rng = np.random.default_rng([seed, len(variant), len(problem)])
    level = _LEVELS.get(variant, 0.5) + rng.normal(0, 0.05)
    tasks = [("trained", task, 0, 1.0 + 0.1 * i) for i, task in enumerate(TASKS)]
    tasks += [(name, *task) for name, of_set in OTHER_TASKS.items() for task in of_set]
    where = {"problem": problem, "variant": variant, "seed": seed}
    episodes: list[dict[str, object]] = []
    predictions: list[dict[str, object]] = []
    for policy in ("last", "best"):
        for number, (task_set, task, changed, distance) in enumerate(tasks):
            of_task = {**where, "policy": policy, "task_set": task_set, "task": task}
            share = np.clip(
                level - 0.12 * changed * (1 - 0.5 * classes) + 0.05 * (number % 3), 0, 1
            )
            for episode in range(30):
                won = bool(rng.random() < share)
                of_classes = {
                    "class": number % 3,
                    "entropy": 0.2 + 0.1 * changed,
                    "agreement": 0.9 - 0.1 * changed,
                    **{name: 0.1 * changed for name in SCORES},
                    "swap_effect": 0.3,
                    "swap_actions": 0.4,
                    "centroid_distance": distance + rng.normal(0, 0.1),
                }
                episodes.append(
                    {
                        **of_task,
                        "units_changed": changed,
                        "start_trained": True,
                        "episode": episode,
                        "episode_return": 5 + 12 * won + rng.normal(0, 1),
                        "length": 40,
                        "won": won,
                        **(of_classes if classes else dict.fromkeys(of_classes)),
                    }
                )
            for step in range(40 if classes else 0):
                # From no idea to the task's own class, by another number in each run.
                own = 1 / 3 + (0.6 - 0.15 * changed) * (1 - np.exp(-step / 8))
                shares = np.roll([own, *[(1 - own) / 2] * 2], number + seed)
                running = {"step": step, "episodes": 30 if step < 25 else max(60 - 2 * step, 1)}
                for label, value in enumerate(shares):
                    row = {"metric": "class_share", "class": label, "value": value}
                    predictions.append({**of_task, **running, **row})
    paths = folder / "evaluate" / variant / f"seed_{seed}"
    found = []
    for kind, rows in (("episodes", episodes), ("predictions", predictions)):
        columns = {name: [row[name] for row in rows] for name in KINDS[kind].schema.names}
        write_table(paths / f"{kind}.parquet", kind, columns, PROVENANCE)
        found.append(paths / f"{kind}.parquet")
    return found[0], found[1]


def write_codebook(path: Path, seed: int, steps: tuple[int, ...], n_codes: int = 24) -> Path:
    """Write the use of the codes at clusterings: each class has codes of its own, and shared."""
    rng = np.random.default_rng(seed)
    rows = [
        (env_steps, code, TASKS[(code + other) % 3], code % 3, int(100 * weight) + 1)
        for env_steps in steps
        for code, weight in enumerate(rng.dirichlet(np.full(n_codes, 0.5)))
        for other in range(2)
    ]
    names = ("env_steps", "code", "task", "label", "count")
    columns = dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True))
    write_table(path, "codebook", columns, PROVENANCE)
    return path


def write_figure_inputs(
    folder: Path, n_seeds: int, variants: tuple[str, ...] = VARIANTS
) -> dict[str, dict[str, list[Path]]]:
    """Write a study of those variants; those named `trama...` have classes of `vqvae`.

    Returns:
        The inputs of each figure of a problem, and of the study, by the figure's name.
    """
    seeds = range(n_seeds)
    with_classes = [name for name in variants if name.startswith("trama")]

    def at(stage: str, name: str, seed: int, file: str) -> Path:
        return folder / stage / name / f"seed_{seed}" / f"{file}.parquet"

    histories = {
        name: [
            write_training_history(
                at("train", name, s, "history"), name, s, predictor=name in with_classes
            )
            for s in seeds
        ]
        for name in variants
    }
    evaluations = {
        name: [write_evaluation(folder, name, s, classes=name in with_classes) for s in seeds]
        for name in variants
    }
    of_classes = [path for name in with_classes for path in histories[name]]
    episodes = [path for of_variant in evaluations.values() for path, _ in of_variant]
    steps = (100_000, 200_000)
    before, during = "representation", "train"
    return {
        "learning_curves": {"histories": [path for h in histories.values() for path in h]},
        "task_win_rates": {"episodes": episodes},
        "embeddings": {
            "before": [
                write_embeddings(at(before, "vqvae", s, "embeddings"), s, (50_000,)) for s in seeds
            ],
            "during": [
                write_embeddings(at(during, name, s, "embeddings"), s, steps)
                for name in with_classes
                for s in seeds
            ],
        },
        "codebook": {
            "before": [
                write_codebook(at(before, "vqvae", s, "codebook"), s, (50_000,)) for s in seeds
            ],
            "during": [
                write_codebook(at(during, name, s, "codebook"), s, steps)
                for name in with_classes
                for s in seeds
            ],
        },
        "predictor_accuracy": {"histories": of_classes},
        "predictor_alone": {
            "accuracies": [
                write_predictor_accuracy(at(before, name, s, "predictor_accuracy"), s)
                for name in ("vqvae", "mean_state")
                for s in seeds
            ]
        },
        "predictor_confusion": {
            "predictions": [path for name in with_classes for _, path in evaluations[name]]
        },
        "label_consistency": {"histories": of_classes},
        "ood_gain": {
            "episodes": [path for name in (*with_classes, "qplex") for path, _ in evaluations[name]]
        },
        "aggregates": {"episodes": episodes},
        "performance_profiles": {"episodes": episodes},
    }


def timing_columns(seconds: Mapping[str, float]) -> dict[str, list[Any]]:
    """Columns of a `timing` file: a phase had as many MB as seconds, and no GPU."""
    taken = list(seconds.values())
    return {
        "phase": list(seconds),
        "seconds": taken,
        "count": [100] * len(seconds),
        "memory_mb": taken,
        "gpu_memory_mb": [None] * len(seconds),
    }
