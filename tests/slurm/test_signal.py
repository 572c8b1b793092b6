"""What reaches the Python process of a rule's script before its job's time limit."""

import json
from pathlib import Path

from slurm.cluster import Cluster
from slurm.site import HASTE, Site

LIMIT = 3  # minutes; SLURM looks at limits once a minute, so a signal can come a minute early
SNAKEFILE = f"""
rule probe:
    output: "probe.txt"
    log: "probe.log"
    resources: mem_mb=600, runtime={LIMIT}
    script: "probe.py"
"""
SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path

started = time.time()
if Path("signals.json").exists():  # the retry
    Path("probe.txt").touch()
    sys.exit()

def save(number, frame):
    received = {"signal": signal.Signals(number).name, "after": time.time() - started}
    time.sleep(8)  # a checkpoint takes its time
    Path("signals.json").write_text(json.dumps(received))
    sys.exit(1)

signal.signal(signal.SIGTERM, save)
time.sleep(600)
"""


def test_sigterm_leaves_two_minutes_to_save_and_the_retry_goes_on(
    cluster: Cluster, finished: tuple[Site, object], tmp_path: Path
) -> None:
    site = finished[0].copy(tmp_path / "clone")
    (site.clone / "Snakefile").write_text(SNAKEFILE)
    (site.clone / "probe.py").write_text(SCRIPT)
    run = site.run(arguments=(*HASTE, "--", "probe"))
    assert run.code == 0, run.output
    received = json.loads((site.clone / "signals.json").read_text())
    assert received["signal"] == "SIGTERM"
    assert received["after"] < (LIMIT - 2) * 60
    first, second = cluster.jobs(run.name).values()
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
