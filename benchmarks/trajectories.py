"""SMAX trajectories as Parquet, written and read, larger than the memory bound."""

import tempfile
from pathlib import Path

from benchmarks.harness import THREADS, Effort, Figure, figure, fresh, repeatedly

TARGET_RATE = 200_000.0
TARGET_MB = 300.0
REPETITIONS = 24
"""Times that the recorded play is written: 430 MB in memory."""
_RECORD = """
import json, sys
sys.path.insert(0, "workflow")
from trama.runtime import configure_process
configure_process(int(sys.argv[1]))
import numpy as np
from benchmarks.subjects import smax
from trama.learning.replay import OBS_DTYPE
env, rng = smax(32), np.random.default_rng(0)
seen, rows = env.reset(0), []
for _ in range(400):
    actions = (rng.random(seen.available_actions.shape) * seen.available_actions).argmax(2)
    step = env.step(actions)
    rows.append((*seen, actions.astype(np.int8), step.reward))
    seen = step.observation
parts = [np.stack(part, 1) for part in zip(*rows)]  # environment by environment, as episodes lie
names = ("obs", "state", "available_actions", "actions", "reward")
flat = {n: p.reshape(-1, *p.shape[2:]) for n, p in zip(names, parts)}
flat["obs"] = flat["obs"].astype(OBS_DTYPE)
np.savez(sys.argv[2], **flat)
print(len(flat["reward"]))
"""
_MEASURE = """
import json, resource, sys, time
from pathlib import Path
sys.path.insert(0, "workflow")
import numpy as np
import pandas  # pyarrow's first array imports it, once in a process
import pyarrow as pa
import pyarrow.parquet as pq
from trama.data.parquet import Provenance, TableWriter, iter_batches, read_table
from trama.data.schemas import KINDS, values_type

action, who, folder, repetitions, threads = sys.argv[1:]
pa.set_cpu_count(int(threads))
folder, path = Path(folder), Path(folder) / f"{who}.parquet"
data = dict(np.load(folder / "play.npz")) if action == "write" else {}
n_rows = len(data.get("reward", ()))

def rows(start, stop):
    n = stop - start
    part = {name: values[start:stop] for name, values in data.items()}
    part = {n_: v.reshape(n, -1) if v.ndim > 1 else v for n_, v in part.items()}
    flags = np.zeros(n, bool)
    return part | {
        "episode": np.arange(start, stop, dtype=np.int32) // 50,
        "step": np.arange(n, dtype=np.int16),
        "task": pa.array(["3s2z surrounded", "2c3z surrounded"]).take(pa.array(np.arange(n) % 2)),
        "terminated": flags, "truncated": flags, "won": flags,
    }

def as_table():
    schema = KINDS["trajectories"].schema
    def column(field, values):
        if values_type(field):
            return pa.array([row.tobytes() for row in values], field.type)
        if not pa.types.is_list(field.type):
            return pa.array(values, field.type)
        offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
        flat = pa.array(values.ravel(), field.type.value_type)
        return pa.ListArray.from_arrays(offsets, flat, type=field.type)
    part = rows(0, n_rows)
    table = pa.Table.from_arrays([column(f, part[f.name]) for f in schema], schema=schema)
    return pa.concat_tables([table] * int(repetitions)).combine_chunks()

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

if action == "write":
    path.unlink(missing_ok=True)  # of the repeat before: replacing it would wait for the disk
before = resident()
if action == "write" and who == "reference":
    table = as_table()
start = time.perf_counter()
count = 0
if action == "write" and who == "ours":
    provenance = Provenance("bench", "collect", "0", 0, "0", "0")
    with TableWriter(path, "trajectories", provenance) as writer:
        for _ in range(int(repetitions)):
            for first in range(0, n_rows, 1600):  # as many rows as finished episodes bring
                writer.append(rows(first, min(first + 1600, n_rows)))
    count = n_rows * int(repetitions)
elif action == "write":
    pq.write_table(table, path)
    count = len(table)
elif who == "ours":
    count = sum(len(table) for table in iter_batches(path, "trajectories"))
else:
    count = len(pq.read_table(path))
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
print(json.dumps([count / seconds, peak]))
"""


def measure(effort: Effort, repetitions: int = REPETITIONS) -> list[Figure]:
    """Rates, and memory above what a process held before, of processes that only do that."""
    figures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fresh(_RECORD, THREADS, folder / "play.npz")
        for action in ("write", "read"):
            found: dict[str, list[list[float]]] = {"ours": [], "reference": []}

            def run(
                who: str, action: str = action, found: dict[str, list[list[float]]] = found
            ) -> float:
                result = fresh(_MEASURE, action, who, folder, repetitions, THREADS)
                found[who].append(result)
                return float(result[0])

            rates = repeatedly(lambda: run("ours"), lambda: run("reference"), effort.repeats)
            peaks = tuple([peak for _, peak in found[who]] for who in ("ours", "reference"))
            reference = f"pyarrow.parquet.{action}_table of the whole table"
            figures += [
                figure(
                    "trajectories",
                    f"{action} trajectories",
                    "transitions/s",
                    rates,
                    reference=reference,
                    target=TARGET_RATE,
                ),
                figure(
                    "trajectories",
                    f"{action} trajectories, peak memory",
                    "MB",
                    (peaks[0], peaks[1]),
                    reference=reference,
                    target=TARGET_MB,
                ),
            ]
    return figures
