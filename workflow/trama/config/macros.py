"""Names of LaTeX macros, which have letters alone, from names of the configuration."""

import re
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trama.config.model import Config

_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def letters(*names: str) -> str:
    """Return names as one word of a macro, such as TramaQmixSurCombThree."""
    words = [word for name in names for word in name.split("_")]
    text = "".join(word[:1].upper() + word[1:] for word in words)
    return re.sub("[0-9]", lambda digit: _DIGITS[int(digit[0])], text)


def clashing_names(config: "Config") -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Pairs of names of the study that are the same as `letters`.

    A name is that of a variant, of a representation or variant on a problem, or of a variant on a
    problem's task set.
    """
    variants, problems = config.study.variants, config.study.problems
    used = [config.variants[name].representation for name in variants if name in config.variants]
    named = [
        *product(variants),
        *product((*variants, *filter(None, used)), problems),
        *product(variants, problems, config.evaluate.task_sets),
    ]
    first: dict[str, tuple[str, ...]] = {}
    pairs = [(first.setdefault(letters(*names), names), names) for names in named]
    return [(one, other) for one, other in pairs if one != other]
