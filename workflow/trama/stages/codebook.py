"""How the codes are used, as a file."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from trama.data.parquet import Provenance, TableWriter
from trama.learning.embedding import CodeUse


def write_codebook(
    path: Path,
    uses: Iterable[tuple[int, CodeUse]],
    tasks: Sequence[str],
    provenance: Provenance,
) -> None:
    """Write the env steps of some clusterings and the use of the codes at each; `tasks` by id."""
    with TableWriter(path, "codebook", provenance) as writer:
        for env_steps, use in uses:
            writer.append(
                {
                    "env_steps": np.full(len(use.code), env_steps),
                    "code": use.code.astype(np.int32),
                    "task": [tasks[number] for number in use.task],
                    "label": use.label.astype(np.int32),
                    "count": use.count,
                }
            )
