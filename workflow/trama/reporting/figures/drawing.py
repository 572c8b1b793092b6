"""A figure that is drawn, and its files: the pictures, the caption, and what it was made from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from trama.config.figure_params import FigureParams
from trama.data.parquet import Provenance
from trama.reporting import style
from trama.reporting.outputs import Outputs
from trama.reporting.statistics import Inputs


@dataclass(frozen=True)
class Drawing:
    """What a figure shows.

    Attributes:
        figure: made within `style.figure_style`.
        title: what it is, in a line without a full stop.
        caption: paragraphs of reStructuredText: what is shown, of how many seeds and episodes, the
            final numbers, and how they were computed. Names are ``literal``.
        shown: which rows of the inputs it shows, in words.
    """

    figure: Figure
    title: str
    caption: Sequence[str]
    shown: str


Draw = Callable[[Inputs, FigureParams, str], Drawing]
"""Draws one figure from its inputs and params on the problem (or of the study) of that name."""


def make_figure(
    draw: Draw,
    inputs: Inputs,
    params: FigureParams,
    of: str,
    outputs: Outputs,
    provenance: Provenance,
) -> None:
    """Draw a figure and write it.

    Args:
        draw: draws it.
        inputs: files to draw it from.
        params: what it depends on beside them.
        of: name of the problem, or of the study.
        outputs: what to write.
        provenance: goes into the files.

    Raises:
        TramaError: an input is missing, broken or lacks what the figure shows.
    """
    with style.figure_style():
        drawing = draw(inputs, params, of)
        style.save(drawing.figure, outputs.files, params.figures.dpi, drawing.title, provenance)
    outputs.write_beside(drawing.caption, drawing.shown, inputs, provenance)
