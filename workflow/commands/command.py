"""What the commands share: the way to the library, the configuration, one message for an error."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
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
    """A parser of the command line with the options that say which configuration is meant."""
    result = ArgumentParser(description=description)
    result.add_argument("--preset", help="preset, where config/config.yaml is not to name it")
    result.add_argument(
        "--configfile",
        type=Path,
        nargs="+",
        default=[],
        help="files over config/config.yaml, such as config/tuning.yaml",
    )
    return result


def chosen_config(chosen: Namespace) -> Config:
    """The configuration that the options of `parser` mean, as `make` runs it."""
    return read_config(chosen.preset, chosen.configfile)


def read_config(preset: str | None = None, files: Sequence[Path] = ()) -> Config:
    """The configuration in force, as `make` runs it."""
    overrides = {} if preset is None else {"preset": preset}
    return load_config(Path("config/config.yaml"), ROOT / "config", files, overrides)


def snakemake_arguments(chosen: Namespace) -> list[str]:
    """What the options of `parser` are on Snakemake's command line."""
    preset = ["--config", f"preset={chosen.preset}"] if chosen.preset else []
    files = list(map(str, chosen.configfile))
    return preset + (["--configfile", *files] if files else [])


@contextmanager
def one_message() -> Iterator[None]:
    """End the process with the message of a `TramaError` alone."""
    try:
        yield
    except TramaError as error:
        sys.exit(str(error))
