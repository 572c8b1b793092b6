"""The stages in a small environment."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from chain import QUANTISED, ChainEnv, Report, UseEnv, honest, run_chain, run_predict
from expected import four_variants
from made_up_study import write_study
from trama.config.backends import Env
from trama.config.model import Config
from trama.config.problems import Problem
from trama.tasks import Task


@pytest.fixture
def use_env(monkeypatch: pytest.MonkeyPatch) -> UseEnv:
    """Let the stages play in `ChainEnv`, which reports tasks as it is told."""
    return _small_env(monkeypatch)


@pytest.fixture(scope="session")
def whole_chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of all stages with the representation QUANTISED. Don't change them."""
    folder = tmp_path_factory.mktemp("whole") / "chain"
    with pytest.MonkeyPatch.context() as patch:
        _small_env(patch)(honest)
        run_chain(folder, QUANTISED)
        run_predict(folder)
    return folder


@pytest.fixture(scope="session")
def config() -> Config:
    """A made-up study of four variants, four seeds and two problems."""
    return four_variants(problems=["SurComb3", "SurComb4"])


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory, config: Config) -> Path:
    """Its folder. Don't change it."""
    return write_study(tmp_path_factory.mktemp("study"), config)


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """A function that returns the warnings so far."""
    monkeypatch.setattr(logging.getLogger("trama"), "propagate", True)
    caplog.set_level(logging.WARNING, "trama")
    yield lambda: [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def _small_env(monkeypatch: pytest.MonkeyPatch) -> UseEnv:
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))

    def use(report: Report) -> list[ChainEnv]:
        made: list[ChainEnv] = []

        def make_env(
            problem: Problem,
            env: Env,
            n_envs: int,
            threads: int,
            tasks: Sequence[Task] | None = None,
        ) -> ChainEnv:
            made.append(ChainEnv(n_envs, report, None if tasks is None else tasks[0].name))
            return made[-1]

        for stage in ("collect", "predict", "train", "evaluate"):
            monkeypatch.setattr(f"trama.stages.{stage}.make_env", make_env)
        return made

    return use
