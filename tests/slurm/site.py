"""A clone of the repository whose profile a site has edited, and Snakemake run in it."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp

EDITS = {
    '"my_account"': '"trama"',
    '"my_partition"': '"main"',
}
"""What a site edits in slurm/config.yaml."""
HASTE = ("--slurm-init-seconds-before-status-checks", "10", "--max-status-checks-per-second", "1")
"""What makes the tests quicker, and nothing else."""
RESOURCES: dict[str, dict[str, int]] = {
    "collect": {"threads": 2, "mem_mb": 2100, "runtime": 11, "gpu": 0},
    "pretrain": {"threads": 1, "mem_mb": 1600, "runtime": 7, "gpu": 0},
    "cluster": {"threads": 1, "mem_mb": 1700, "runtime": 8, "gpu": 0},
    "train": {"threads": 2, "mem_mb": 2200, "runtime": 15, "gpu": 1},
    "evaluate": {"threads": 1, "mem_mb": 1800, "runtime": 9, "gpu": 0},
}
"""Each stage asks for something else, so that a mix-up shows."""
SNAKEMAKE = ("-m", "snakemake", "--profile", "slurm")
RECOVER = ("slurm/recover.py",)


class Site:
    """A clone in which a user runs the tiny study on the cluster.

    Args:
        clone: its folder, with the repository in it.
        programs: PATH of the user.
    """

    def __init__(self, clone: Path, programs: Path):
        self.clone = clone
        self.programs = programs
        self.results = clone / "results/tiny"
        changes = ("preset=tiny", "study={variants: [qplex, trama]}", f"resources={RESOURCES}")
        self.arguments = (*HASTE, "--config", *changes, "--", "all")

    def configure(self) -> None:
        """Edit the profile as a site would."""
        for old, new in EDITS.items():
            self.edit_profile(old, new)

    def edit_profile(self, old: str, new: str) -> None:
        """Replace the one place of the profile that reads `old`."""
        file = self.clone / "slurm/config.yaml"
        text = file.read_text()
        assert text.count(old) == 1, f"{file}: {old!r} is there {text.count(old)} times"
        file.write_text(text.replace(old, new))

    def copy(self, target: Path) -> "Site":
        """A copy in another place, with everything that has run."""
        shutil.copytree(self.clone, target)
        return Site(target, self.programs)

    @contextmanager
    def started(
        self,
        program: tuple[str, ...] = SNAKEMAKE,
        arguments: tuple[str, ...] | None = None,
        seconds: int = 900,
    ) -> Iterator["Run"]:
        """Start a Python program with the arguments of the run; it is killed on leaving.

        Args:
            program: SNAKEMAKE or RECOVER.
            arguments: instead of the run's.
            seconds: after so many it is killed.
        """
        given = self.arguments if arguments is None else arguments
        file, name = mkstemp(".log", "run_", self.clone.parent)
        with os.fdopen(file, "wb") as output:
            process = subprocess.Popen(
                ["timeout", "--signal=KILL", str(seconds), sys.executable, *program, *given],
                cwd=self.clone,
                env={**os.environ, "PATH": str(self.programs)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        run = Run(process, Path(name))
        try:
            yield run
        finally:
            run.kill()

    def run(
        self,
        program: tuple[str, ...] = SNAKEMAKE,
        arguments: tuple[str, ...] | None = None,
    ) -> "Run":
        """The same, waiting for its end."""
        with self.started(program, arguments) as run:
            run.process.wait()
        return run

    def has_last_tables(self) -> bool:
        """Whether the study has come to its end."""
        names = ("results", "clusters", "predictor")
        return all((self.results / f"tables/SurComb3_{name}.csv").is_file() for name in names)


class Run:
    """A program that was started in a clone."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path):
        self.process = process
        self._log = log

    @property
    def output(self) -> str:
        """What it has printed so far, errors included."""
        return self._log.read_text()

    @property
    def code(self) -> int:
        """Its exit code; it has to have ended."""
        assert self.process.returncode is not None
        return self.process.returncode

    @property
    def name(self) -> str:
        """The run id of Snakemake, which is the name of its SLURM jobs."""
        found = re.search(r"^SLURM run ID: (\S+)$", self.output, re.MULTILINE)
        assert found, self.output
        return found[1]

    @property
    def submitted(self) -> list[str]:
        """Ids of the SLURM jobs that Snakemake has submitted so far."""
        return re.findall(r"submitted with SLURM jobid (\d+)", self.output)

    def kill(self) -> None:
        """Kill -9 it and what it has started on this node; SLURM's jobs are not among that."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
