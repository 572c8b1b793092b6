"""One cluster for all tests, and one study that has run on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clones import copy_clone
from slurm.cluster import Cluster, Unavailable, install
from slurm.site import Run, Site


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The running daemons; skips where they cannot run."""
    try:
        install()
    except Unavailable as reason:
        pytest.skip(str(reason))
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def finished(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Run]:
    """The tiny study, run through the profile from an empty results folder. Don't change it."""
    site = Site(copy_clone(tmp_path_factory.mktemp("site") / "clone"), cluster.programs)
    site.configure()
    return site, site.run()


@pytest.fixture
def copied(finished: tuple[Site, Run], tmp_path: Path) -> Site:
    """A copy of that study in another place, to be changed freely."""
    return finished[0].copy(tmp_path / "copy")
