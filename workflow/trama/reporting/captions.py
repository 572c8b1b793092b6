"""Captions of figures and tables: paragraphs of reStructuredText, for Snakemake's report."""

import textwrap
from collections.abc import Sequence


def caption_text(paragraphs: Sequence[str]) -> str:
    """Return paragraphs as text in lines of at most 100 characters."""
    wrapped = [
        textwrap.fill(paragraph, 100, break_long_words=False, break_on_hyphens=False)
        for paragraph in paragraphs
    ]
    return "\n\n".join(wrapped) + "\n"
