"""Dry runs by Snakemake itself, without its start each time.

One process imports Snakemake and is forked for every dry run, which therefore sees the files and
the library of its clone afresh. This module must not import the library.
"""

import logging
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from typing import NamedTuple

import nbformat  # noqa: F401  (what follows is imported for the forks)
import pandas  # noqa: F401
import pydantic  # noqa: F401
import pytest
import smart_open  # noqa: F401
import snakemake.cli
import snakemake.report
import yaml  # noqa: F401
from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

snakemake.cli.get_argument_parser()  # registers the plugins

Job = tuple[str, tuple[tuple[str, str], ...]]
"""A planned job: its rule, and its wildcards."""


class DryRun(NamedTuple):
    """How a dry run ended, what it printed, and the jobs that it planned."""

    returncode: int
    output: str
    jobs: list[Job]


class _Planned(logging.Filter):
    """Lets every message pass, and keeps the jobs that are announced."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Job] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "event", None) == LogEvent.JOB_INFO:
            wildcards: dict[str, str] = record.__dict__["wildcards"]
            self.jobs.append((record.__dict__["rule_name"], tuple(wildcards.items())))
        return True


def _dry_run(clone: Path, arguments: Sequence[str]) -> DryRun:
    """In a process of its own: it changes folder and output for good."""
    planned = _Planned()
    logger.addFilter(planned)
    os.chdir(clone)
    with tempfile.TemporaryFile("w+") as output:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
        try:
            snakemake.cli.main(["--dry-run", *arguments])
        except SystemExit as end:
            returncode = int(end.code or 0)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        output.seek(0)
        text = output.read()
    return DryRun(returncode, text, planned.jobs)


@cache
def _pool() -> ProcessPoolExecutor:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    # Python 3.11 does not hand the path of modules on to what is imported ahead.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        forkserver.ensure_running()
    return ProcessPoolExecutor(os.cpu_count(), mp_context=context, max_tasks_per_child=1)


def dry_runs(clone: Path, arguments: Sequence[Sequence[str]]) -> list[DryRun]:
    """Dry runs with each list of arguments, as many at a time as there are cores."""
    return list(_pool().map(_dry_run, [clone] * len(arguments), arguments))
