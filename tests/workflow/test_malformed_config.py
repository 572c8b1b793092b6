"""A malformed configuration ends Snakemake with one message, and nothing has run."""

from pathlib import Path

import pytest

from clones import run_snakemake


def message_of(clone: Path, *arguments: str) -> str:
    """What Snakemake says; checks that it fails without a traceback and before any job."""
    result = run_snakemake(clone, "--cores", "1", *arguments)
    assert result.returncode != 0
    assert "Traceback" not in result.stdout
    assert "Error in" not in result.stdout
    assert "Job stats" not in result.stdout
    assert not (clone / "results").exists()
    return result.stdout


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("grad_clip: 10.0", "grad_clipp: 10.0", ["collect.grad_clipp", "'grad_clip'"]),
        ("dpi: 200", "dpi: high", ["figures.dpi", '"high"']),
        (
            "# variants: [qmix, qplex, trama]",
            "variants: [qmix, tramma]",
            ["study.variants[1]", '"tramma"', "'trama'"],
        ),
        (
            "# problems: [SurComb3]",
            "problems: [SurComb3, SurComb3]",
            ["study.problems[1]", "twice"],
        ),
        ("n_codes: 256", "n_codes: 2", ["representations.vqvae", "n_codes = 2"]),
        ("study:\n", "study: [\n", ["not valid YAML"]),
    ],
)
def test_in_config_yaml(clone: Path, old: str, new: str, parts: list[str]) -> None:
    config = clone / "config/config.yaml"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new, 1))
    message = message_of(clone)
    assert message.count("config/config.yaml, line") >= 1
    for part in parts:
        assert part in message


def test_in_a_configfile(clone: Path) -> None:
    (clone / "mine.yaml").write_text("train:\n  n_envs: 0\n")
    message = message_of(clone, "--configfile", "mine.yaml")
    assert "mine.yaml, line 2: train.n_envs = 0" in message


def test_on_the_command_line(clone: Path) -> None:
    assert '--config: preset = "labtop"' in message_of(clone, "--config", "preset=labtop")
    assert "Did you mean 'laptop'?" in message_of(clone, "--config", "preset=labtop")
    message = message_of(clone, "--config", "study={seed: -1}")
    assert message.count("study.seed = -1") == 1
