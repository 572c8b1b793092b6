"""What jobs cost: units of work from the configuration, times rates that were measured.

A job's work is counted in units such as env steps; a rate is the seconds, or the bytes on disk, of
one unit. `costs.json` has the rates that `measured_rates` found in a finished study.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict
from scipy.optimize import nnls

from trama.config.model import RL, Config, MixerName
from trama.config.problems import TRAINED
from trama.data.parquet import read_table
from trama.data.schemas import PHASES
from trama.tasks import evaluation_tasks

RATES = Path(__file__).with_name("costs.json")

_LEARNED = "learned_episodes_"
"""Before the name of a mixer: episodes that a learner with it learns from."""

Work = dict[str, float]
"""Units of work, by name."""


class Rates(BaseModel):
    """What was measured.

    Attributes:
        machine: where, in words.
        episode_steps: mean length of a training episode, env steps.
        seconds: of one unit of work, by its name.
        bytes: on disk, of one unit of work, by its name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    machine: str
    episode_steps: float
    seconds: dict[str, float]
    bytes: dict[str, float]


class Job(NamedTuple):
    """A rule, and the wildcards that make it a job: problem, seed, variant, representation."""

    rule: str
    wildcards: Mapping[str, str]


def committed_rates() -> Rates:
    """The rates that come with this package."""
    return Rates.model_validate_json(RATES.read_text(encoding="utf-8"))


def seconds_of(config: Config, job: Job, rates: Rates) -> float:
    """Wall time of a job."""
    return sum(
        _seconds(unit, rates) * count
        for work in work_of(config, job, rates.episode_steps).values()
        for unit, count in work.items()
    )


def _seconds(unit: str, rates: Rates) -> float:
    """Seconds of a unit of work; of a mixer that nobody measured, those of the slowest."""
    of_mixers = [f"{_LEARNED}{mixer}" for mixer in get_args(MixerName)]
    if unit in of_mixers and unit not in rates.seconds:
        return max(rates.seconds[other] for other in of_mixers if other in rates.seconds)
    return rates.seconds[unit]


def bytes_of(config: Config, job: Job, rates: Rates) -> float:
    """Space on disk of what a job writes."""
    return sum(
        rates.bytes[unit] * count
        for work in _size_of(config, job).values()
        for unit, count in work.items()
    )


def work_of(config: Config, job: Job, episode_steps: float) -> dict[str, Work]:
    """The work of a job by phase: `play`, `update` and `test` of learning, and the `rest`."""
    rule, name = job
    if rule == "check_starcraft":
        return {}  # a minute at most
    if rule == "collect_problem":
        collect = config.collect
        steps = collect.env_steps
        return _learning(collect, steps, steps, collect.mixer, False, episode_steps)
    if rule.startswith("train_"):
        variant, train = config.variants[name["variant"]], config.train_for(name["variant"])
        own = config.own_env_steps(name["variant"])
        learnt = train.env_steps if config.start_of(name["variant"]) == "replay" else own
        work = _learning(train, own, learnt, variant.mixer, variant.has_classes, episode_steps)
        n_tests = 1 + own / train.test_interval
        return {**work, "test": {"tested_episodes": n_tests * train.test_episodes}}
    if rule == "pretrain_representation":
        episodes = config.pretrain.updates * config.pretrain.batch_size
        return {"rest": {"start": 1, "pretrained_episodes": episodes}}
    if rule == "cluster_representation":
        collected = config.collect.env_steps / episode_steps
        clustered = min(collected, config.cluster.max_trajectories)
        return {"rest": {"start": 1, "clustered_episodes": clustered}}
    if rule == "predict_classes":
        episodes = 2 * config.predict.updates * config.predict.batch_size  # two kinds of labels
        return {"rest": {"start": 1, "learned_episodes_classes": episodes}}
    if rule == "evaluate_variant":
        sets = {task_set: config.task_sets[task_set] for task_set in config.evaluate.task_sets}
        tasks = evaluation_tasks(config.problems[name["problem"]], sets)
        n_tasks = sum(map(len, tasks.values()))
        if config.falls_back(name["variant"]):
            n_tasks += n_tasks + len(tasks[TRAINED])  # again, and to find the thresholds
        if config.variants[name["variant"]].has_classes:
            kinds = set(config.evaluate.given_classes)
            if not config.drops_class(name["variant"]):
                kinds -= {"no_class"}
            n_tasks += len(tasks[TRAINED]) * len(kinds)
        episodes = n_tasks * config.evaluate.episodes * len(config.evaluate.policies)
        return {"rest": {"start": 1, "compile": 1, "tested_episodes": episodes}}
    return {"rest": {_kind(rule): 1}}


def _kind(rule: str) -> str:
    """Figures share a rate, as their jobs differ little, and so do tables; else the rule's name.

    Stage predict, which is no part of a study that rates are measured in, writes about as much as
    stage cluster.
    """
    kind = rule.partition("_")[0]
    if kind == "predict":
        return "cluster_representation"
    return kind if kind in ("figure", "table") else rule


def _learning(
    section: RL, played: int, learnt: int, mixer: str, classes: bool, episode_steps: float
) -> dict[str, Work]:
    """Work of the Q-learning loop, of env steps that are played and those that bring updates.

    Each update learns from a batch of episodes.
    """
    episodes = learnt / episode_steps / section.episodes_per_update * section.batch_size
    return {
        "rest": {"start": 1},
        "play": {"compile": 1, "env_steps": played},
        "update": {
            f"{_LEARNED}{mixer}": episodes,
            **({"learned_episodes_classes": episodes} if classes else {}),
        },
    }


def _size_of(config: Config, job: Job) -> dict[str, Work]:
    """What a job writes: files that grow with the scale of the run, by their name, and the rest."""
    if job.rule == "check_starcraft":
        return {}
    sizes: dict[str, Work] = {"rest": {_kind(job.rule): 1}}
    if job.rule == "collect_problem":
        sizes["trajectories"] = {"collected_env_steps": config.collect.env_steps}
    elif job.rule == "train_with_representation":
        train = config.train_for(job.wildcards["variant"])
        own = config.own_env_steps(job.wildcards["variant"])
        clusterings = own / train.clustering.interval_env_steps
        largest = min(config.cluster.max_trajectories, train.buffer_size)
        sizes["embeddings"] = {"embedded_episodes": clusterings * largest}
    return sizes


_PHASES = {**dict.fromkeys(PHASES, "update"), "environment": "play", "play": "play", "test": "test"}
"""Phase of work, by the phase that a `timing` file names."""

_SEED = "{problem}/%s/seed_{seed}/%s"
_FILES = {
    "collect_problem": _SEED % ("collect", "*"),
    "pretrain_representation": _SEED % ("representation/{representation}", "vqvae*"),
    "cluster_representation": _SEED % ("representation/{representation}", "[ce]*"),
    "predict_classes": _SEED % ("representation/{representation}", "predictor_accuracy*"),
    "train_without_representation": _SEED % ("train/{variant}", "*"),
    "train_with_representation": _SEED % ("train/{variant}", "*"),
    "evaluate_variant": _SEED % ("evaluate/{variant}", "*"),
}
"""What jobs write, below the study's folder; those of figures and tables see `_pattern`."""


def _pattern(job: Job) -> str:
    """What a job writes, below the study's folder."""
    if job.rule in _FILES:
        return _FILES[job.rule].format(**job.wildcards)
    kind, _, name = job.rule.partition("_")
    # Those of the whole study are named `study_<name>`, or by the name alone.
    start = f"{job.wildcards['problem']}_" if "problem" in job.wildcards else "*"
    return f"{kind}s/{start}{name}.*"


def benchmark_seconds(folder: Path, job: Job) -> float | None:
    """Wall time of a job by its benchmark file in the study's `folder`; None without one."""
    names = [
        job.wildcards[k] for k in ("problem", "representation", "variant") if k in job.wildcards
    ]
    if "seed" in job.wildcards:
        names.append(f"seed_{job.wildcards['seed']}")
    path = Path(folder, "benchmarks", job.rule, *names).with_suffix(".tsv")
    if not path.is_file():
        return None
    return float(pd.read_csv(path, sep="\t")["s"].iloc[0])


def measured_rates(config: Config, folder: Path, jobs: Sequence[Job], machine: str) -> Rates:
    """Rates that explain best what finished jobs took (relative least squares, none negative).

    Of work that none of them did, the rates that come with this package stay, and where they were
    measured is said beside `machine`.

    Args:
        config: the configuration that the jobs ran with.
        folder: folder of their study.
        jobs: finished jobs.
        machine: where they ran, in words.
    """
    histories = [
        read_table(path, "history").to_pandas()
        for path in folder.glob("*/collect/*/history.parquet")
    ]
    steps, episodes = (
        sum(float(history[key].max()) for history in histories) for key in ("env_steps", "episode")
    )
    known = committed_rates()
    times: list[tuple[Work, float]] = []
    sizes: list[tuple[Work, float]] = []
    for job in jobs:
        files = sorted(folder.glob(_pattern(job)))
        size = dict.fromkeys(_size_of(config, job), 0.0)
        for path in files:
            size[path.stem if path.stem in size else "rest"] += path.stat().st_size
        sizes += [(_size_of(config, job)[part], total) for part, total in size.items()]
        rest = benchmark_seconds(folder, job) or 0.0
        work = work_of(config, job, steps / episodes)
        for phase, seconds in _timing([path for path in files if path.stem == "timing"]).items():
            times.append((work[phase], seconds))
            rest -= seconds
        times.append((work["rest"], rest))
    found, size = _fit(times), _fit(sizes)
    if kept := sorted(known.seconds.keys() - found.keys()):
        machine += f" (but for {', '.join(kept)}: {known.machine})"
    return Rates(
        machine=machine,
        episode_steps=steps / episodes,
        seconds={**known.seconds, **found},
        bytes={**known.bytes, **size},
    )


def _timing(files: Sequence[Path]) -> dict[str, float]:
    """Seconds by phase of work."""
    seconds: dict[str, float] = {}
    for path in files:
        for row in read_table(path, "timing").to_pylist():
            phase = _PHASES[row["phase"]]
            seconds[phase] = seconds.get(phase, 0.0) + row["seconds"]
    return seconds


def _fit(rows: Sequence[tuple[Work, float]]) -> dict[str, float]:
    """The amount of each unit of work, from rows of work and their total."""
    rows = [(work, total) for work, total in rows if total > 0]
    units = sorted({unit for work, _ in rows for unit in work})
    # Relative errors count: each total becomes 1.
    matrix = np.array([[work.get(u, 0.0) / total for u in units] for work, total in rows])
    # Columns of equal length, as units differ by six orders of magnitude.
    scale = np.linalg.norm(matrix, axis=0)
    amounts, _ = nnls(matrix / scale, np.ones(len(rows)))
    return {unit: float(f"{x:.3g}") for unit, x in zip(units, amounts / scale, strict=True)}
