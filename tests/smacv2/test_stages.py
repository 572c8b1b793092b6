"""The stages on SMACv2's own package: a game that fails in between costs an episode and no more."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from chain import JOB, PROVENANCE, RUN_SETTINGS
from fakes import CPU, small_train
from standin import StandIn
from trama.config.backends import Env
from trama.config.model import Collect, Evaluate
from trama.config.params import (
    CheckStarcraftParams,
    CollectParams,
    EvaluateParams,
    TrainParams,
)
from trama.config.problems import UnitProblem
from trama.learning.model import TrainedModel
from trama.reporting.replay import Episode
from trama.stages.check_starcraft import check_starcraft
from trama.stages.collect import collect
from trama.stages.evaluate import evaluate, play
from trama.stages.train import train
from trama.tasks import tasks_of

PROBLEM = UnitProblem(units=("2s", "2z"), starts=("reflected",))
ENV = Env.model_validate(
    {
        "backend": "smacv2",
        "smacv2": {"max_steps": 20, "patience": {"interval_seconds": 0.1}, "parallel_games": 1},
    }
)
NOT_OF_BASELINES = (
    "representation_name",
    "representation",
    "pretrain",
    "cluster",
    "collect_env_steps",
)
SHARED = {"problem": PROBLEM, "env": ENV}
SMALL = {"n_envs": 2, "batch_size": 4, "buffer_size": 32, "episodes_per_update": 1}


def test_collect_train_and_evaluate(game: StandIn, tmp_path: Path) -> None:
    game.enemy("strong")
    section = Collect.model_validate(SMALL | {"random_episodes": 4, "env_steps": 160})
    collect(
        CollectParams.model_validate(JOB | SHARED | {"collect": section}),
        PROVENANCE,
        trajectories=tmp_path / "trajectories.parquet",
        state_statistics=tmp_path / "statistics.parquet",
        learner=tmp_path / "learner.pt",
        history=tmp_path / "collect_history.parquet",
        timing=tmp_path / "collect_timing.parquet",
        run_settings=RUN_SETTINGS,
        threads=1,
    )
    game.fault("crash_step")
    variant = {"mixer": "qplex", "labels": None}
    config = small_train(**SMALL, env_steps=120, test_interval=60, test_episodes=2)
    files = {name: tmp_path / f"{name}.pt" for name in ("policy_last", "policy_best")}
    train(
        TrainParams.model_validate(
            JOB
            | SHARED
            | {"variant_name": "v", "variant": variant, "train": config}
            | dict.fromkeys(NOT_OF_BASELINES)
        ),
        PROVENANCE,
        state_statistics=tmp_path / "statistics.parquet",
        trajectories=None,
        collected_learner=None,
        vqvae=None,
        centroids=None,
        classifier=None,
        embeddings=None,
        codebook=None,
        **files,
        history=tmp_path / "history.parquet",
        timing=tmp_path / "timing.parquet",
        checkpoint=tmp_path / "checkpoint",
        run_settings=RUN_SETTINGS,
        threads=1,
    )
    history = pq.read_table(tmp_path / "history.parquet").to_pandas()
    lost = history[history["metric"] == "lost_episodes"]["value"]
    assert lost.tolist() and lost.iloc[-1] == 1
    evaluate(
        EvaluateParams.model_validate(
            JOB
            | SHARED
            | {
                "variant_name": "v",
                "evaluate": Evaluate(episodes=2, policies=("last",)),
                "task_sets": {},
            }
        ),
        PROVENANCE,
        policy_last=files["policy_last"],
        policy_best=files["policy_best"],
        episodes=tmp_path / "episodes.parquet",
        predictions=tmp_path / "predictions.parquet",
        given_classes=tmp_path / "given_classes.parquet",
        fallback=tmp_path / "fallback.parquet",
        run_settings=RUN_SETTINGS,
        threads=1,
    )
    episodes = pq.read_table(tmp_path / "episodes.parquet").to_pandas()
    assert episodes["task"].tolist() == ["2s reflected"] * 2 + ["2z reflected"] * 2
    assert (episodes["length"] <= 20).all()
    _watch(files["policy_last"], tmp_path / "watched")


def _watch(policy: Path, stem: Path) -> None:
    """A frame of an episode, and the game's own replay of it."""
    model = TrainedModel.load(policy, CPU)
    played = play(model, tasks_of(PROBLEM)[0], 1, model.env, 1, CPU, 5, replays=stem)
    assert played.recordings == [stem.with_name("watched_0.SC2Replay")]
    assert played.recordings[0].read_bytes().startswith(b"replay up to ")
    symbols = {name: symbol for symbol, name in model.env.settings.units.items()}
    episode = Episode.of(played.replay, int(played.slots[0]), played.spec, symbols, "v", None)
    assert [unit.symbol for unit in episode.units] == ["s", "s"] * 2
    assert episode.units[0].health[0] == 1 and episode.task == "2s reflected"


def test_the_check_says_what_is_installed(game: StandIn, tmp_path: Path) -> None:
    found = tmp_path / "starcraft.json"
    params = CheckStarcraftParams(problem=PROBLEM, env=ENV)
    check_starcraft(params, starcraft=found, run_settings=RUN_SETTINGS)
    content = json.loads(found.read_text())
    assert content["game"] == "4.10.0.75689 (build 75689)"
    assert content["maps"] == ["32x32_flat"] and content["env_steps"] >= 200
    assert content["packages"]["PySC2"] == "4.0.0" and content["env_steps_per_second"] > 0


def test_the_command_prints_it(game: StandIn) -> None:
    done = subprocess.run(
        [sys.executable, "workflow/commands/check_starcraft.py"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("StarCraft II 4.10.0.75689 (build 75689) in ")
    assert "maps: 32x32_flat\n" in done.stdout and "per second" in done.stdout
    game.map.unlink()
    done = subprocess.run(done.args, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 1 and "SMACv2's map is missing" in done.stderr
    assert "Traceback" not in done.stderr
