"""The tiny study through `snakemake --profile slurm all`, and what SLURM's records say of it."""

from collections import Counter

import pytest

from slurm.cluster import Cluster
from slurm.site import RESOURCES, Run, Site
from tiny_jobs import FIGURES, TABLES

RULES = {
    "collect_problem": ("collect", 1),
    "pretrain_representation": ("pretrain", 1),
    "cluster_representation": ("cluster", 1),
    "train_without_representation": ("train", 1),
    "train_with_representation": ("train", 1),
    "evaluate_variant": ("evaluate", 2),
}
"""Stage and number of jobs of each rule that asks for a node."""


def test_it_runs_to_the_last_table(finished: tuple[Site, Run]) -> None:
    site, run = finished
    assert run.code == 0, run.output
    assert site.has_last_tables()


def test_figures_and_tables_ask_for_no_node(cluster: Cluster, finished: tuple[Site, Run]) -> None:
    site, run = finished
    asked = [job["Comment"].split("_wildcards_")[0] for job in cluster.jobs(run.name).values()]
    assert Counter(asked) == {f"rule_{rule}": number for rule, (_, number) in RULES.items()}
    made = {path.stem for path in (site.results / "logs").iterdir()} - RULES.keys()
    assert made == FIGURES.keys() | TABLES.keys()


@pytest.mark.parametrize("rule", RULES)
def test_a_job_asks_for_and_gets_what_its_stage_states(
    cluster: Cluster, finished: tuple[Site, Run], rule: str
) -> None:
    stage, number = RULES[rule]
    stated = RESOURCES[stage]
    jobs = [
        job
        for job in cluster.jobs(finished[1].name).values()
        if job["Comment"].startswith(f"rule_{rule}_wildcards_")
    ]
    assert len(jobs) == number
    for job in jobs:
        assert job["JobState"] == "COMPLETED"
        assert (job["Account"], job["Partition"]) == ("trama", "main")
        assert job["TimeLimit"] == f"00:{stated['runtime']:02d}:00"
        assert job["CPUs/Task"] == job["NumCPUs"] == str(stated["threads"])
        assert job["MinMemoryNode"] == f"{stated['mem_mb']}M"
        got = dict(entry.split("=") for entry in job["TRES"].split(","))
        assert (got["cpu"], got["mem"]) == (str(stated["threads"]), f"{stated['mem_mb']}M")
        if stated["gpu"]:
            assert job["TresPerJob"] == "gres:gpu:1"
            assert job["JOB_GRES"] == "gpu:fake:1"
        else:
            assert not {"TresPerJob", "TresPerNode"} & job.keys()
            assert job["JOB_GRES"] == "(null)"


def test_only_jobs_with_a_gpu_see_one(finished: tuple[Site, Run]) -> None:
    logs = [log for rule in RULES for log in (finished[0].results / "logs" / rule).rglob("*.log")]
    without = [log for log in logs if "no GPU, so it sees none" in log.read_text()]
    expected = [
        rule for rule, (stage, n) in RULES.items() for _ in range(n) if not RESOURCES[stage]["gpu"]
    ]
    assert [log.relative_to(finished[0].results / "logs").parts[0] for log in without] == expected
