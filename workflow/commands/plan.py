"""The jobs that Snakemake would run, from its own dry run."""

import contextlib
import io
import logging
from typing import NamedTuple

import snakemake.cli
from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

from trama.costs import Job
from trama.errors import TramaError


class Planned(NamedTuple):
    """A planned job, and the threads and GPUs that it asks for."""

    job: Job
    threads: int
    gpus: int


class _Announced(logging.Filter):
    """Lets every message pass, and keeps the jobs that are announced."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Planned] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "event", None) == LogEvent.JOB_INFO:
            info = record.__dict__
            job = Job(info["rule_name"], dict(info["wildcards"]))
            # The targets of the stages are jobs too, and do nothing.
            if job.wildcards:
                self.jobs.append(Planned(job, info["threads"], info["resources"].get("gpu", 0)))
        return True


def planned_jobs(*arguments: str) -> list[Planned]:
    """The jobs that `snakemake --dry-run` plans with these arguments.

    Raises:
        TramaError: the dry run failed; the message is what it printed.
    """
    announced = _Announced()
    logger.addFilter(announced)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            # Few cores would cut the threads that a job asks for.
            snakemake.cli.main(["--dry-run", "--cores", "10000", *arguments])
        except SystemExit as end:
            failed = bool(end.code)
    logger.removeFilter(announced)
    if failed:
        raise TramaError(printed.getvalue().strip())
    return announced.jobs
