"""What jobs cost: units of work counted by hand, and rates found again from what was measured."""

from pathlib import Path
from typing import Any

import pytest

from made_up import timing_columns
from trama import costs
from trama.config.load import load_config
from trama.config.model import Config
from trama.costs import Job, Rates, bytes_of, committed_rates, measured_rates, seconds_of, work_of
from trama.data.parquet import Provenance, write_table

ROOT = Path(__file__).parents[2]
PROVENANCE = Provenance("small", "train", "ab", 0, "0.1.0", "beef")
VARIANTS = ["vdn", "qmix", "qplex", "trama", "trama_mean_state", "trama_onehot", "trama_oracle"]


def config(**changes: Any) -> Config:
    study = {"variants": VARIANTS, "seeds": [0, 1]}
    overrides = {"study": study, **changes}
    return load_config(ROOT / "config/config.yaml", ROOT / "config", [], overrides)


def jobs_of(settings: Config) -> list[Job]:
    """All jobs of a study on SurComb3."""
    jobs = []
    for seed in settings.study.seeds:
        of_seed = {"study": settings.study.name, "problem": "SurComb3", "seed": str(seed)}
        jobs.append(Job("collect_problem", of_seed))
        jobs.append(Job("pretrain_representation", of_seed | {"representation": "vqvae"}))
        for name in settings.used_representations:
            jobs.append(Job("cluster_representation", of_seed | {"representation": name}))
            jobs.append(Job("predict_classes", of_seed | {"representation": name}))
        for name in settings.study.variants:
            kind = "with" if settings.variants[name].representation else "without"
            jobs.append(Job(f"train_{kind}_representation", of_seed | {"variant": name}))
            jobs.append(Job("evaluate_variant", of_seed | {"variant": name}))
    whole = {"study": settings.study.name, "problem": "SurComb3"}
    figures = ("learning_curves", "embeddings", "predictor_accuracy")
    jobs += [Job(f"figure_{name}", whole) for name in figures]
    jobs += [Job(f"table_{name}", whole) for name in ("results", "clusters", "predictor")]
    jobs.append(Job("figure_of_the_study", {"study": settings.study.name}))
    return jobs


def test_work_is_what_the_configuration_says() -> None:
    settings = config(
        collect={"env_steps": 20_000, "random_episodes": 32},
        train={
            "env_steps": 100_000,
            "batch_size": 16,
            "episodes_per_update": 4,
            "test_interval": 25_000,
            "test_episodes": 8,
        },
        pretrain={"updates": 70, "batch_size": 10},
        predict={"updates": 30, "batch_size": 20},
        evaluate={"episodes": 5, "task_sets": ["one_type", "fewer_allies"]},
    )
    where = {"problem": "SurComb3", "seed": "0"}
    trained, own = 100_000 / 50 / 4 * 16, 80_000 / 50 / 4 * 16
    trama = work_of(settings, Job("train_with_representation", where | {"variant": "trama"}), 50)
    assert trama == {
        "rest": {"start": 1},
        "play": {"compile": 1, "env_steps": 80_000},  # 20,000 are those of collect
        "update": {"learned_episodes_qplex": own, "learned_episodes_classes": own},
        "test": {"tested_episodes": (1 + 3.2) * 8},
    }
    replay = work_of(
        settings, Job("train_with_representation", where | {"variant": "trama_replay"}), 50
    )
    learnt = {"learned_episodes_qplex": trained, "learned_episodes_classes": trained}
    assert replay == trama | {"update": learnt}  # the episodes of collect, too
    qmix = work_of(settings, Job("train_without_representation", where | {"variant": "qmix"}), 50)
    assert qmix == {
        "rest": {"start": 1},
        "play": {"compile": 1, "env_steps": 100_000},
        "update": {"learned_episodes_qmix": trained},
        "test": {"tested_episodes": (1 + 4) * 8},
    }
    pretrain = work_of(settings, Job("pretrain_representation", where), 50)
    assert pretrain == {"rest": {"start": 1, "pretrained_episodes": 700}}
    cluster = work_of(settings, Job("cluster_representation", where), 50)
    assert cluster == {"rest": {"start": 1, "clustered_episodes": 400}}
    predict = work_of(settings, Job("predict_classes", where), 50)
    assert predict == {"rest": {"start": 1, "learned_episodes_classes": 2 * 600}}
    # Three kinds of given classes on the three tasks of the problem.
    for variant, n_tasks in (("qmix", 3 + 9), ("trama", 3 + 9 + 3 * 3)):
        evaluate = work_of(settings, Job("evaluate_variant", where | {"variant": variant}), 50)
        assert evaluate == {"rest": {"start": 1, "compile": 1, "tested_episodes": n_tasks * 5 * 2}}
    falling_back = config(
        evaluate={
            "episodes": 5,
            "task_sets": ["one_type", "fewer_allies"],
            "given_classes": ["true_class", "no_class"],
            "fallback": {"score": "energy"},
        },
        variants={"trama": {"train": {"class_representation": {"dropout": 0.1}}}},
    )
    # All tasks twice, those of the problem once more for the thresholds.
    for variant, n_tasks in (("trama", 2 * (3 + 9) + 3 + 2 * 3), ("trama_onehot", 3 + 9 + 3)):
        evaluate = work_of(falling_back, Job("evaluate_variant", where | {"variant": variant}), 50)
        assert evaluate["rest"]["tested_episodes"] == n_tasks * 5 * 2
    assert work_of(settings, Job("table_results", where), 50) == {"rest": {"table": 1}}


def test_the_committed_rates_have_every_unit() -> None:
    settings, rates = config(), committed_rates()
    for job in jobs_of(settings):
        assert seconds_of(settings, job, rates) > 0, job
        assert bytes_of(settings, job, rates) > 0, job
    for preset in ("laptop", "paper"):
        assert seconds_of(config(preset=preset), jobs_of(settings)[0], rates) > 0


def test_more_work_costs_more() -> None:
    rates = committed_rates()
    names = {"problem": "SurComb3", "variant": "trama_oracle", "seed": "0"}
    job = Job("train_without_representation", names)
    once, twice = (config(train={"env_steps": n}) for n in (200_000, 400_000))
    ratio = seconds_of(twice, job, rates) / seconds_of(once, job, rates)
    assert 1.5 < ratio < (400 - 40) / (200 - 40)  # 40,000 are those of collect


def made_up_study(folder: Path, settings: Config, rates: Rates) -> None:
    """What finished jobs leave behind that take exactly what the rates say."""
    for job in jobs_of(settings):
        where = job.wildcards
        work = work_of(settings, job, rates.episode_steps)
        seconds = {
            phase: sum(rates.seconds[unit] * count for unit, count in units.items())
            for phase, units in work.items()
        }
        benchmark = [where[k] for k in ("problem", "representation", "variant") if k in where]
        benchmark += [f"seed_{where['seed']}"] if "seed" in where else []
        path = Path(folder, "benchmarks", job.rule, *benchmark).with_suffix(".tsv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\n{sum(seconds.values())}\t1.0\n")
        stage = job.rule.split("_")[0]
        if stage not in ("collect", "train"):
            continue
        outputs = folder / "SurComb3" / stage / where.get("variant", "") / f"seed_{where['seed']}"
        phases = {phase: value for phase, value in seconds.items() if phase != "rest"}
        write_table(outputs / "timing.parquet", "timing", timing_columns(phases), PROVENANCE)
        if job.rule == "collect_problem":
            steps = settings.collect.env_steps
            history = {
                "env_steps": [steps],
                "update": [1],
                "episode": [int(steps / rates.episode_steps)],
                "metric": ["epsilon"],
                "task": [None],
                "step": [None],
                "value": [0.1],
            }
            write_table(outputs / "history.parquet", "history", history, PROVENANCE)


def test_rates_are_found_again(tmp_path: Path) -> None:
    settings = config(variants={"qmix": {"train": {"env_steps": 400_000}}})
    true = committed_rates().model_copy(update={"episode_steps": 50.0})
    made_up_study(tmp_path, settings, true)
    found = measured_rates(settings, tmp_path, jobs_of(settings), "a machine")
    assert (found.machine, found.episode_steps) == ("a machine", 50.0)
    for job in jobs_of(settings):
        expected = seconds_of(settings, job, true)
        assert seconds_of(settings, job, found) == pytest.approx(expected, rel=0.02), job


def test_rates_of_work_that_was_not_measured_stay(tmp_path: Path) -> None:
    """A study without VDN tells nothing of it, and studies with it are estimated still."""
    settings, known = config(study={"variants": ["qmix"], "seeds": [0, 1]}), committed_rates()
    slow = known.model_copy(
        update={"seconds": {unit: 2 * took for unit, took in known.seconds.items()}}
    )
    made_up_study(tmp_path, settings, slow)
    found = measured_rates(settings, tmp_path, jobs_of(settings), "a machine")
    unit = "learned_episodes_vdn"
    assert found.seconds[unit] == known.seconds[unit]
    assert found.machine.startswith("a machine (but for ") and unit in found.machine
    unit = "learned_episodes_qmix"
    assert found.seconds[unit] == pytest.approx(slow.seconds[unit], rel=0.02)
    for job in jobs_of(config()):
        assert seconds_of(config(), job, found) > 0


def test_a_mixer_that_nobody_measured_costs_as_much_as_the_slowest() -> None:
    settings, known = config(study={"variants": ["vdn", "qplex"]}), committed_rates()
    others = {unit: took for unit, took in known.seconds.items() if not unit.endswith("_vdn")}
    without_vdn = known.model_copy(update={"seconds": others})
    costs = {
        job.wildcards["variant"]: seconds_of(settings, job, without_vdn)
        for job in jobs_of(settings)
        if job.rule == "train_without_representation" and job.wildcards["seed"] == "0"
    }
    assert costs["vdn"] == costs["qplex"]


def test_sizes_are_those_of_the_files(tmp_path: Path) -> None:
    settings = config()
    made_up_study(tmp_path, settings, committed_rates())
    for seed in (0, 1):
        collect = tmp_path / f"SurComb3/collect/seed_{seed}"
        (collect / "trajectories.parquet").write_bytes(b"x" * 300 * settings.collect.env_steps)
    figures = tmp_path / "figures"
    figures.mkdir()
    for name in ("SurComb3_learning_curves", "study_of_the_study"):
        (figures / f"{name}.pdf").write_bytes(b"x" * 1000)
    found = measured_rates(settings, tmp_path, jobs_of(settings), "a machine")
    assert found.bytes["collected_env_steps"] == 300
    assert found.bytes["figure"] == 1000
    rest = sum(p.stat().st_size for p in collect.iterdir() if p.stem != "trajectories")
    assert found.bytes["collect_problem"] == pytest.approx(rest, rel=0.01)


def test_a_job_without_a_benchmark_file(tmp_path: Path) -> None:
    job = Job("table_results", {"problem": "SurComb3"})
    assert costs.benchmark_seconds(tmp_path, job) is None
