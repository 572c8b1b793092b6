"""What the commands share: the way to the library, the configuration, one message for an error."""

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trama.config.load import load_config
from trama.config.model import Config
from trama.errors import TramaError

ROOT = Path(__file__).resolve().parents[2]
THREADS = 1
"""Of the commands that play: another number may change results by rounding."""


def parser(description: str) -> ArgumentParser:
    """A parser of the command line with the option --preset."""
    result = ArgumentParser(description=description)
    result.add_argument("--preset", help="preset, where config/config.yaml is not to name it")
    return result


def read_config(preset: str | None) -> Config:
    """The configuration in force, as `make` runs it."""
    overrides = {} if preset is None else {"preset": preset}
    return load_config(Path("config/config.yaml"), ROOT / "config", [], overrides)


@contextmanager
def one_message() -> Iterator[None]:
    """End the process with the message of a `TramaError` alone."""
    try:
        yield
    except TramaError as error:
        sys.exit(str(error))
