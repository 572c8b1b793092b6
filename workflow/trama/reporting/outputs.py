"""What is written of a figure or table: its files, its caption, and what it was made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trama.data.parquet import Provenance
from trama.data.sources import write_sources
from trama.reporting.captions import caption_text
from trama.reporting.statistics import Inputs


@dataclass(frozen=True)
class Outputs:
    """Where a figure or table is written.

    Attributes:
        files: of the figure or table itself; their suffixes give the formats.
        caption: file of the caption, with the numbers in it.
        sources: file that names the inputs.
    """

    files: Sequence[Path]
    caption: Path
    sources: Path

    def write_beside(
        self, caption: Sequence[str], shown: str, inputs: Inputs, provenance: Provenance
    ) -> None:
        """Write the caption, and what the files, which are there, were made from.

        Args:
            caption: paragraphs of reStructuredText.
            shown: which rows of the inputs are shown, in words.
            inputs: that it was made from.
            provenance: of the figure or table.

        Raises:
            TramaError: an input is missing, broken or foreign.
        """
        self.caption.write_text(caption_text(caption), encoding="utf-8")
        write_sources(
            self.sources,
            made=[*self.files, self.caption],
            inputs=[file for kind in inputs.values() for file in kind],
            rows=shown,
            provenance=provenance,
        )
