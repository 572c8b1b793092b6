"""Files of a small made-up study, as the stages would write them."""

from pathlib import Path

import numpy as np

from trama.data.parquet import Provenance, write_table
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
            for step in range(100 + seed):
                value = 0.95 - 0.5 * np.exp(-step / 12) * (1 if env_steps == 200_000 else 2)
                value += rng.normal(0, 0.01)
                rows.append((env_steps, "predictor_accuracy", None, step, float(max(value, 0))))
    return write_history(path, rows)


def write_embeddings(path: Path, seed: int, n: int = 900, size: int = 4) -> Path:
    """Write the embeddings of n trajectories in three overlapping clusters."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 1.2, (3, size))
    label = rng.integers(0, 3, n)
    task = np.where(rng.random(n) < 0.85, label, rng.integers(0, 3, n))
    columns = {
        "env_steps": np.zeros(n, dtype=np.int64),
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
        **dict.fromkeys(("class", "entropy", "agreement", "centroid_distance"), [None] * len(rows)),
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
        rows += [("best", "trained", "task_a", 1.0, True), ("last", "unseen", "x", 1.0, True)]
        path = folder / "evaluate" / variant / f"seed_{seed}" / "episodes.parquet"
        files.setdefault(variant, {})[seed] = write_episodes(path, rows)
    return files
