"""A real SLURM on this machine: one node with two fake GPUs, no database, no systemd, no cgroups.

Its configuration has to lie in /etc/slurm, since the jobs' inner srun looks nowhere else.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

CONFIGURATION = Path("/etc/slurm")
PACKAGES = ("slurm-wlm", "munge")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
OURS = "# Written by the tests of TRAMA; removed when they end.\n"
ACTIVE = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED")

SLURM_CONF = """\
ClusterName=trama
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
MailProg=/bin/true
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
ReturnToService=2
MinJobAge=3600
KillWait=5
MessageTimeout=60
SlurmctldTimeout=30
SlurmdTimeout=30
InactiveLimit=0
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/run/slurmctld.own.pid
SlurmdPidFile={folder}/run/slurmd.own.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs=8 RealMemory=6000 Gres=gpu:fake:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES DefMemPerCPU=500 MaxTime=INFINITE State=UP
"""
GRES_CONF = """\
AutoDetect=off
Name=gpu Type=fake File=/dev/null
Name=gpu Type=fake File=/dev/zero
"""


class Unavailable(Exception):
    """SLURM cannot be run here; says why."""


def run(*command: str, timeout: float = 60) -> str:
    """Standard output of a command that has to succeed."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert result.returncode == 0, f"{shlex.join(command)}: {result.stderr}"
    return result.stdout


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Ask every fifth of a second until the condition holds.

    Raises:
        TimeoutError: it did not hold in time; `what` says what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.2)


def install() -> None:
    """Install SLURM from the distribution's packages, without starting its services.

    Raises:
        Unavailable: not root, no apt-get, or a SLURM that is not ours is configured here.
    """
    if os.geteuid() != 0:
        raise Unavailable("SLURM's daemons need root; run these tests as root in a container")
    if (CONFIGURATION / "slurm.conf").exists() and not _is_ours(CONFIGURATION / "slurm.conf"):
        raise Unavailable(f"{CONFIGURATION}/slurm.conf exists: this machine has a SLURM of its own")
    if all(map(shutil.which, PROGRAMS)):
        return
    if shutil.which("apt-get") is None:
        raise Unavailable(f"install {', '.join(PROGRAMS)} first: there is no apt-get here")
    with _services_stay_down():
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
            result = subprocess.run(
                ["apt-get", *command], env=environment, capture_output=True, text=True, timeout=600
            )
            if result.returncode:
                raise Unavailable(f"apt-get {shlex.join(command)} failed: {result.stderr[-500:]}")


def _is_ours(file: Path) -> bool:
    return file.read_text().startswith(OURS)


@contextmanager
def _services_stay_down() -> Iterator[None]:
    """Forbid Debian's packages to start services while they are installed."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


class Cluster:
    """The daemons, from `start` to `stop`, and what SLURM's own records say.

    `programs` is the PATH of its users. It lacks sacct, which cannot answer without a database: the
    SLURM plugin would turn to it, and wait for ever, as soon as the controller is slow to answer.

    Args:
        folder: an empty folder for state, spool and logs.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.programs = folder / "bin"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Configure and start everything; returns when the node is idle."""
        _stop_remains()
        for name in ("run", "log", "state", "spool"):
            (self.folder / name).mkdir()
        self._link_programs()
        CONFIGURATION.mkdir(exist_ok=True)
        for name, text in (
            ("slurm.conf", SLURM_CONF.format(folder=self.folder)),
            ("gres.conf", GRES_CONF),
        ):
            (CONFIGURATION / name).write_text(OURS + text)
        self._start_munge()
        self.start_controller()
        self.start_node()

    def stop(self) -> None:
        """Cancel what runs, stop the daemons that were started, remove the configuration."""
        try:
            if self._daemons.keys() >= {"slurmctld", "slurmd"}:
                self.cancel_all()
        finally:
            for name in ("slurmd", "slurmctld", "munged"):
                self._terminate(name)
            for name in ("slurm.conf", "gres.conf"):
                file = CONFIGURATION / name
                if file.exists() and _is_ours(file):
                    file.unlink()

    def start_controller(self) -> None:
        """Start slurmctld, and wait until it answers."""
        self._launch("slurmctld", "slurmctld", "-D")
        wait_until(lambda: _succeeds("scontrol", "ping"), 30, "slurmctld answers")

    def stop_controller(self) -> None:
        """Stop slurmctld; jobs run on."""
        self._terminate("slurmctld")

    def start_node(self) -> None:
        """Start slurmd, and wait until the node can take jobs."""
        self._launch("slurmd", "slurmd", "-D", "-N", "localhost")
        wait_until(
            lambda: self.node_state() in {"idle", "mixed", "allocated"}, 60, "the node is ready"
        )

    def lose_node(self) -> None:
        """Let the node vanish: slurmd and every process of its jobs die at once."""
        daemon = self._daemons.pop("slurmd")
        _kill(daemon.pid)
        daemon.wait()
        while processes := self.processes():
            for pid in chain.from_iterable(processes.values()):
                _kill(pid)

    def processes(self) -> dict[str, list[int]]:
        """Living processes of jobs on the node, by job id, their managers (slurmstepd) included."""
        children: dict[int, list[int]] = {}
        managers: dict[int, str] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                status = dict(
                    re.findall(r"^(Name|State|PPid):\t(\w+)", _read(entry / "status"), re.M)
                )
                managed = re.match(r"slurmstepd: \[(\d+)\.", _read(entry / "cmdline"))
            except OSError:
                continue  # it has just ended
            if status["State"] == "Z":
                continue
            children.setdefault(int(status["PPid"]), []).append(int(entry.name))
            if status["Name"] == "slurmstepd" and managed:
                managers[int(entry.name)] = managed[1]
        found: dict[str, list[int]] = {}
        for manager, job in managers.items():
            tree = [manager]
            for pid in tree:  # grows while it is walked through
                tree += children.get(pid, [])
            found.setdefault(job, []).extend(tree)
        return found

    def node_state(self) -> str:
        """State of the node in one word, such as idle, mixed, allocated, down."""
        return run("sinfo", "--noheader", "--format=%T").strip().rstrip("*")

    def jobs(self, *names: str) -> dict[str, dict[str, str]]:
        """What SLURM remembers of jobs, as {id: {field of `scontrol show job`: value}}.

        Args:
            names: only jobs of these names, which are run ids of Snakemake; else all.
        """
        text = run("scontrol", "--oneliner", "--details", "show", "job")
        jobs = {}
        for line in text.splitlines():
            fields = dict(re.findall(r"(\S+?)=(.*?)(?:\s+(?=[\w:/]+=)|\s*$)", line))
            if "JobId" in fields and (not names or fields["JobName"] in names):
                jobs[fields["JobId"]] = fields
        return jobs

    def active(self) -> list[str]:
        """Ids of the jobs that have not ended."""
        return [id for id, job in self.jobs().items() if job["JobState"] in ACTIVE]

    def cancel_all(self) -> None:
        """Cancel every job, and wait until none is left."""
        ids = self.active()
        if ids:
            run("scancel", *ids)
        wait_until(lambda: not self.active(), 60, "all jobs have ended")

    def _link_programs(self) -> None:
        self.programs.mkdir()
        for folder in os.get_exec_path():
            for program in Path(folder).glob("*"):
                link = self.programs / program.name
                if program.name != "sacct" and not link.is_symlink():
                    link.symlink_to(program)

    def _start_munge(self) -> None:
        if _munge_works():
            return  # a service of this machine
        folder = Path("/run/munge")
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        shutil.chown(folder, "munge", "munge")
        self._launch("munged", "munged", "--foreground", "--force", user="munge", group="munge")
        wait_until(_munge_works, 20, "munge answers")

    def _launch(
        self, name: str, *command: str, user: str | None = None, group: str | None = None
    ) -> None:
        with (self.folder / "log" / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
                user=user,
                group=group,
            )

    def _terminate(self, name: str) -> None:
        daemon = self._daemons.pop(name, None)
        if daemon is None:
            return
        daemon.terminate()
        try:
            daemon.wait(timeout=30)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _stop_remains() -> None:
    """Kill the daemons of earlier tests that were killed themselves."""
    configuration = CONFIGURATION / "slurm.conf"
    if configuration.exists():
        for file in re.findall(r"PidFile=(\S+)", configuration.read_text()):
            if Path(file).exists():
                pid = Path(file).read_text().strip()
                name = Path("/proc", pid, "comm")
                if name.exists() and name.read_text().startswith("slurm"):
                    _kill(int(pid))


def _succeeds(*command: str) -> bool:
    result = subprocess.run(command, capture_output=True, timeout=30)
    return result.returncode == 0


def _read(file: Path) -> str:
    return file.read_text(errors="replace")


def _munge_works() -> bool:
    return _succeeds("sh", "-c", "munge -n | unmunge")


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
