"""Wall times: kept in a file of their own, so that all other files are repeatable."""

from pathlib import Path

from trama.data.parquet import Provenance, write_table


def write_timing(path: Path, timing: dict[str, list[float]], provenance: Provenance) -> None:
    """Write phase -> [seconds, calls] as a `timing` file."""
    columns = {
        "phase": list(timing),
        "seconds": [seconds for seconds, _ in timing.values()],
        "count": [int(calls) for _, calls in timing.values()],
    }
    write_table(path, "timing", columns, provenance)
