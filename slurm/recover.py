"""Go on after Snakemake itself was killed, or hung, while its SLURM jobs ran.

Takes the arguments that `snakemake --profile slurm` had, as in

    python slurm/recover.py all

Such jobs run on as orphans. This cancels them, waits until the last of their processes is gone,
removes the lock, and runs `snakemake --profile slurm` with the arguments given. A job counts as an
orphan if it runs in this folder and its name is that of a run which the logs in .snakemake/log
name; no other job is touched.
"""

import csv
import getpass
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]
PATIENCE = 900
"""Seconds that cancelled jobs may take to end."""


def main() -> None:
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        sys.exit(__doc__)
    os.chdir(FOLDER)
    alive = [pid for pid, command in local_processes() if is_snakemake(command)]
    if alive:
        fail(
            f"Snakemake is running in this folder, as process {', '.join(map(str, alive))}. "
            "Stop it first: Ctrl-C in its terminal, or `kill -9` if it does not end."
        )
    cancel_orphans()
    wait_for_scripts()
    snakemake = [sys.executable, "-m", "snakemake", "--profile", "slurm"]
    unlock = subprocess.run([*snakemake, "--unlock"], capture_output=True, text=True, check=False)
    if unlock.returncode:
        fail(f"snakemake --unlock failed:\n{unlock.stdout}{unlock.stderr}")
    say("the folder is unlocked")
    if files := unrecorded(snakemake, arguments):
        say(
            f"of {len(files)} files there is no record, as of all that is finished after Snakemake "
            "was killed. They count as done, even if their configuration changes, or has changed "
            f"since they were begun. Delete those for which that matters: {', '.join(files)}"
        )
    say("Snakemake goes on")
    os.execv(sys.executable, [*snakemake, *arguments])


def local_processes() -> Iterator[tuple[int, list[str]]]:
    """Id and command of this machine's processes in this folder, as far as they can be seen."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text(errors="replace").split("\0")
            if (process / "cwd").resolve(strict=True) == FOLDER:
                yield int(process.name), command
        except OSError:
            continue  # it has just ended, or is another user's


def is_snakemake(command: list[str]) -> bool:
    """Whether a command is a Snakemake that a user started: those inside of jobs have a --mode."""
    return "snakemake" in {Path(word).name for word in command[:3]} and "--mode" not in command


def wait_for_scripts() -> None:
    """Wait until figures and tables that were being made here, not in a SLURM job, are done."""

    def scripts() -> list[str]:
        marker = "/.snakemake/scripts/"
        return [str(pid) for pid, command in local_processes() if marker in " ".join(command)]

    if scripts():
        say(f"waiting for figures or tables that are still made: process {', '.join(scripts())}")
    while scripts():
        time.sleep(1)


def cancel_orphans() -> None:
    """Cancel this folder's orphans and wait until they have ended; exits if they don't."""
    jobs = orphans()
    if not jobs:
        say("no SLURM jobs are left of earlier runs in this folder")
        return
    say(f"cancelling the SLURM jobs {', '.join(jobs)}")
    slurm("scancel", *jobs)
    deadline = time.monotonic() + PATIENCE
    while jobs:
        if time.monotonic() > deadline:
            fail(
                f"the SLURM jobs {', '.join(jobs)} were cancelled {PATIENCE // 60} minutes ago "
                "and have not ended; a lost node can be the cause. Nothing was unlocked, as "
                "they may still write. Ask your administrators, then run this again."
            )
        time.sleep(2)
        jobs = orphans()
    say("all of them have ended")


def orphans() -> list[str]:
    """Ids of unfinished SLURM jobs of this user that a Snakemake in this folder has submitted."""
    runs = {
        run
        for log in Path(".snakemake/log").glob("*.snakemake.log")
        for run in re.findall(r"SLURM run ID: (\S+)", log.read_text(errors="replace"))
    }
    user = getpass.getuser()
    rows = slurm("squeue", "--noheader", f"--user={user}", "--format=%i|%j|%Z").splitlines()
    jobs = [row.split("|", maxsplit=2) for row in rows]
    return [id for id, name, folder in jobs if name in runs and Path(folder).resolve() == FOLDER]


def unrecorded(snakemake: list[str], arguments: list[str]) -> list[str]:
    """Files that count as done although Snakemake has no record of the job that made them."""
    summary = subprocess.run(
        [*snakemake, "--summary", *arguments], capture_output=True, text=True, check=False
    )
    if summary.returncode:
        fail(f"snakemake --summary failed:\n{summary.stdout}{summary.stderr}")
    rows = csv.DictReader(summary.stdout.splitlines(), delimiter="\t")
    return [
        row["output_file"]
        for row in rows
        # Each rule has a log, and the record of its outputs names it.
        if row["date"] != "-" and row["log-file(s)"] == "-" and row["plan"] == "no update"
    ]


def slurm(*command: str) -> str:
    """Standard output of one of SLURM's commands; exits with its message if it fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        fail(f"there is no {command[0]} here. Run this on a node that can submit jobs.")
    if result.returncode:
        fail(f"{command[0]} failed: {result.stderr.strip()} Nothing was unlocked; try again later.")
    return result.stdout


def say(message: str) -> None:
    print(f"recover: {message}", flush=True)


def fail(message: str) -> None:
    sys.exit(f"recover: {message}")


if __name__ == "__main__":
    main()
