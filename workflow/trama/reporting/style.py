"""The one look of all figures: readable in greyscale and by colour-blind readers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trama.data.parquet import Provenance

ONE_COLUMN = 3.25
"""Width of a one-column figure, inches."""

TWO_COLUMNS = 6.75
"""Width of a two-column figure, inches."""

# After Paul Tol's high-contrast scheme. Any two differ in lightness by a tenth of the range from
# black to white, so that they differ in greyscale and to the colour-blind; neighbours by more.
PALETTE = ("#000000", "#DDAA33", "#BB5566", "#003A75", "#6699CC", "#18663A")

SEQUENTIAL = "Blues"
"""Colour map of shares from 0 to 1, from white to dark."""

Dashes = Literal["solid"] | tuple[float, tuple[float, ...]]

_DASHES: tuple[Dashes, ...] = (
    "solid",
    (0, (5, 1.5)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (1.2, 1.2)),
)
# The numbers of colours, dashes and markers are such that long lists still differ in one of them.
_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")

REFERENCE = "#767676"
"""Grey of reference lines."""

_RC: Mapping[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "figure.titlesize": 9,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.05,
    # TrueType outlines: text stays text, and journals accept it.
    "pdf.fonttype": 42,
}


class Look(NamedTuple):
    """How one variant, class or task is drawn, in every figure of a study."""

    colour: str
    dashes: Dashes
    marker: str


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Return the look of each name, which depends on its position alone."""
    return {
        name: Look(
            PALETTE[i % len(PALETTE)], _DASHES[i % len(_DASHES)], _MARKERS[i % len(_MARKERS)]
        )
        for i, name in enumerate(names)
    }


@contextmanager
def figure_style() -> Iterator[None]:
    """Apply the style to figures that are made, and saved, within the block."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def save(
    figure: Figure, outputs: Sequence[Path], dpi: int, title: str, provenance: Provenance
) -> None:
    """Write a figure in the format of each output's suffix; equal figures give equal bytes.

    Args:
        figure: figure made within `figure_style`.
        outputs: files to write, ``.pdf`` or ``.png``.
        dpi: resolution of PNG files and of rasterised parts of PDF files, dots per inch.
        title: title in the files' metadata, beside the study, params hash and code version.
        provenance: where the figure comes from.
    """
    origin = provenance.describe()
    metadata: dict[str, dict[str, str | None]] = {
        ".pdf": {"Title": title, "Subject": origin, "CreationDate": None},
        ".png": {"Title": title, "Description": origin, "Software": None},
    }
    FigureCanvasAgg(figure)
    for output in map(Path, outputs):
        output.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(output, dpi=dpi, metadata=metadata[output.suffix])
