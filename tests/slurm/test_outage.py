"""A lost node and a silent controller, while a job runs."""

import time
from collections.abc import Iterator

import pytest

from slurm.cluster import Cluster, wait_until
from slurm.site import Run, Site


@pytest.fixture
def evaluating(cluster: Cluster, copied: Site) -> Iterator[tuple[Site, Run]]:
    """A running Snakemake whose only job evaluates a variant; its script has begun."""
    (copied.results / "SurComb3/evaluate/qplex/seed_0/episodes.parquet").unlink()
    log = copied.results / "logs/evaluate_variant/SurComb3/qplex/seed_0.log"
    log.unlink()
    with copied.started() as run:
        wait_until(log.is_file, 180, "a policy is being evaluated")
        yield copied, run
    cluster.cancel_all()


def test_a_job_whose_node_vanishes_is_run_again(
    cluster: Cluster, evaluating: tuple[Site, Run]
) -> None:
    site, run = evaluating
    [lost] = run.submitted
    cluster.lose_node()
    wait_until(lambda: cluster.jobs()[lost]["JobState"] == "NODE_FAIL", 120, "SLURM notices")
    cluster.start_node()
    run.process.wait()
    assert run.code == 0, run.output
    assert f"SLURM-job '{lost}' failed due to a node failure" in run.output
    [again] = set(run.submitted) - {lost}
    assert cluster.jobs()[lost]["Restarts"] == "0"  # SLURM has not started it again by itself
    assert cluster.jobs()[again]["JobState"] == "COMPLETED"
    assert site.has_last_tables()


def test_a_silent_controller_is_waited_for(cluster: Cluster, evaluating: tuple[Site, Run]) -> None:
    site, run = evaluating
    cluster.stop_controller()
    time.sleep(40)  # long enough for questions that stay without an answer
    cluster.start_controller()
    run.process.wait()
    assert run.code == 0, run.output
    [job] = run.submitted
    assert cluster.jobs()[job]["JobState"] == "COMPLETED"
    assert site.has_last_tables()
