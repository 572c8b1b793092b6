"""The stages in a small environment."""

import pytest
import torch

from chain import SPEC, ChainEnv, Report, UseEnv
from trama.config.model import Env, Problem


@pytest.fixture
def use_env(monkeypatch: pytest.MonkeyPatch) -> UseEnv:
    """Let the stages play in `ChainEnv`, which reports tasks as it is told."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))

    def use(report: Report) -> list[ChainEnv]:
        made: list[ChainEnv] = []

        def make_env(
            problem: Problem, env: Env, n_envs: int, threads: int, task: str | None = None
        ) -> ChainEnv:
            only = None if task is None else SPEC.tasks.index(task)
            made.append(ChainEnv(n_envs, report, only))
            return made[-1]

        for stage in ("collect", "train", "evaluate"):
            monkeypatch.setattr(f"trama.stages.{stage}.make_env", make_env)
        return made

    return use
