"""Wall times and memory: kept in a file of their own, so that all other files are repeatable."""

from collections.abc import Mapping
from pathlib import Path

from trama.data.parquet import Provenance, write_table
from trama.learning.memory import MEGABYTE
from trama.learning.stopwatch import Phase


def write_timing(path: Path, phases: Mapping[str, Phase], provenance: Provenance) -> None:
    """Write what the phases of a stage took as a `timing` file."""
    taken = list(phases.values())
    columns = {
        "phase": list(phases),
        "seconds": [phase.seconds for phase in taken],
        "count": [phase.count for phase in taken],
        **{
            memory: [
                phase.peaks[memory] / MEGABYTE if memory in phase.peaks else None for phase in taken
            ]
            for memory in ("memory_mb", "gpu_memory_mb")
        },
    }
    write_table(path, "timing", columns, provenance)
