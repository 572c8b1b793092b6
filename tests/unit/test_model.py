"""Trained models: their file, and where episodes lie among their classes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fakes import (
    CPU,
    cluster_labels,
    make_spec,
    played_replay,
    random_env,
    small_cluster,
    small_train,
)
from trama.config.backends import Env, Noise, Smax
from trama.config.model import Representation
from trama.config.problems import UnitProblem
from trama.environments.base import Observation
from trama.errors import TramaError
from trama.learning.embedding import TrajectoryEmbedding
from trama.learning.model import TrainedModel
from trama.learning.novelty import Novelty
from trama.learning.policy import Policy, PolicySizes
from trama.learning.replay import ReplayBuffer
from trama.learning.representation import TrainedRepresentation
from trama.learning.scaling import StateScaler, StateStatistics

BASELINE = PolicySizes(4, 3, 4, 8)
CLASSES = PolicySizes(4, 3, 4, 8, 3, 7, "learned", 6, 5)
ONE_HOT = PolicySizes(4, 3, 4, 8, 3, 7, "one_hot", 6, 5, class_dropout=0.25)
ENTITIES = replace(
    CLASSES,
    obs_features=("enemy_0_x", "own_x", "enemy_1_x", "fog"),
    actions=("stop", "attack_enemy_1", "wait", "attack_enemy_0"),
)
QUANTISED = Representation(n_codes=24, code_dim=3, n_classes=3)
MEAN_STATE = Representation(embedding="mean_state", n_classes=3)
CHOSEN = Representation.model_validate(
    {"embedding": "mean_state", "class_number": {"criterion": "gap", "most": 3}}
)


def _novelty(size: int) -> Novelty:
    rng = np.random.default_rng(0)
    return Novelty(0.7, *(torch.from_numpy(rng.normal(size=(n, size))) for n in (size, 3)))


def _model(sizes: PolicySizes, definition: Representation | None = None) -> TrainedModel:
    representation = None
    if definition is not None:
        replay = played_replay(random_env(4), 30, seed=1)
        number = 2 if definition == CHOSEN else None
        labels = cluster_labels(replay, definition, small_train(), small_cluster(), 0, number)
        representation = labels.representation
    torch.manual_seed(0)
    policy = Policy(sizes, some_classes=definition == CHOSEN)
    policy.use_classes(np.array([0, 2]))  # no effect but where classes are chosen
    return TrainedModel(
        policy=policy,
        test_win_rate=0.25,
        problem_name="small",
        problem=UnitProblem(units=("2s", "1s1z"), starts=("surrounded", "reflected")),
        env=Env(smax=Smax(max_steps=17)),
        variant_name="v",
        seed=3,
        study_seed=5,
        representation=representation,
        class_of_task={"2s surrounded": 1, "1s1z surrounded": None},
        novelty=None if sizes.n_classes is None else _novelty(sizes.predictor_hidden_size),
    )


def _plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_plain, value.values()))
    if isinstance(value, list):
        return all(map(_plain, value))
    if isinstance(value, torch.Tensor):
        return value.device == CPU
    return value is None or type(value) in (bool, int, float, str)


@pytest.mark.parametrize(
    ("sizes", "definition"),
    [
        (BASELINE, None),
        (ONE_HOT, None),
        (CLASSES, QUANTISED),
        (CLASSES, MEAN_STATE),
        (CLASSES, CHOSEN),
        (ENTITIES, None),
    ],
    ids=["baseline", "oracle", "quantised", "mean_state", "chosen", "entities"],
)
def test_file_round_trip(
    sizes: PolicySizes, definition: Representation | None, tmp_path: Path
) -> None:
    model = _model(sizes, definition)
    path, again = tmp_path / "a" / "policy.pt", tmp_path / "b" / "policy.pt"
    for each in (path, again):
        each.parent.mkdir()
    model.save(path)
    content = torch.load(path, weights_only=True)
    assert _plain(content)
    assert set(content["problem"]) == {"units", "starts"}  # its environment is in `env`
    assert "noise" not in content["env"]["smax"]
    other = TrainedModel.load(path, CPU)
    other.save(again)
    assert path.read_bytes() == again.read_bytes()
    for name in ("test_win_rate", "problem_name", "problem", "env", "variant_name", "seed"):
        assert getattr(other, name) == getattr(model, name)
    assert other.class_of_task == model.class_of_task
    assert other.study_seed == 5 and other.policy.sizes == sizes
    first, second = model.policy.initial_state(6, CPU), other.policy.initial_state(6, CPU)
    rng = np.random.default_rng(0)
    available = torch.ones(6, 3, 4, dtype=torch.bool)
    for _ in range(3):
        obs = torch.tensor(rng.normal(size=(6, 3, 4)), dtype=torch.float32)
        a = model.policy.act(obs, available, first, 0, None)
        b = other.policy.act(obs, available, second, 0, None)
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    assert torch.equal(first.agent, second.agent)
    assert torch.equal(other.policy.classes, model.policy.classes)
    if definition == CHOSEN:
        assert other.policy.classes.tolist() == [0, 2]
    assert (other.novelty is None) == (model.novelty is None)
    if model.novelty is not None and other.novelty is not None:
        assert first.predictor is not None
        seen = torch.tensor(rng.normal(size=(6, 3, 3))), first.predictor
        own, same = (each.of_agents(*seen) for each in (model.novelty, other.novelty))
        assert all(torch.equal(own[name], same[name]) for name in own)
    assert (other.representation is None) == (model.representation is None)
    if model.representation is not None and other.representation is not None:
        replay = played_replay(random_env(4), 20, seed=2)
        found = model.representation.embed(replay, replay.finished)
        read = other.representation.embed(replay, replay.finished)
        assert all(map(np.array_equal, found, read))


def test_a_model_keeps_the_noise_that_it_was_trained_in(tmp_path: Path) -> None:
    env = Env(smax=Smax(noise=Noise(enemy=0.25)))
    replace(_model(BASELINE), env=env).save(tmp_path / "policy.pt")
    assert TrainedModel.load(tmp_path / "policy.pt", CPU).env == env


def test_a_model_trained_on_a_gpu_plays_anywhere(tmp_path: Path) -> None:
    model = _model(BASELINE)
    model.save(tmp_path / "cpu.pt")
    there = TrainedModel(**{**model.__dict__, "env": Env(smax=Smax(max_steps=17), device="cuda")})
    there.save(tmp_path / "policy.pt")
    assert TrainedModel.load(tmp_path / "policy.pt", CPU).env == model.env


def _finish(replay: ReplayBuffer, states: list[list[float]]) -> int:
    """Play an episode through these states, the last of which nobody acts on; its slot."""
    seen = [
        Observation(
            np.zeros((1, 1, 1), np.float32),
            np.array([state], np.float32),
            np.ones((1, 1, 1), np.bool_),
        )
        for state in states
    ]
    nothing = np.zeros((1, 1), np.int64)
    for each in seen[:-1]:
        replay.write(each, nothing, nothing, np.zeros(1))
    yes = np.array([True])
    return int(replay.finish(np.array([0]), seen[-1], yes, yes, np.array([0]))[0])


@pytest.mark.parametrize(("mean_distance", "unit"), [(0.5, 0.5), (0.0, 4e-5)])
def test_distances_to_the_nearest_centroid(mean_distance: float, unit: float) -> None:
    """Of three episodes; without any spread, rounding (1e-5 of the largest entry) is the unit."""
    statistics = StateStatistics(np.array([1, 1], np.float32), np.array([2, 1], np.float32))
    representation = TrainedRepresentation(
        Representation(embedding="mean_state", n_classes=2),
        TrajectoryEmbedding(StateScaler(statistics), None),
        np.array([[0.0, 0.0], [4.0, 4.0]]),
        mean_distance,
    )
    replay = ReplayBuffer(make_spec(1, 1, 2, 1, episode_limit=4, n_tasks=1), 3, 1)
    slots = [
        _finish(replay, [[1, 1], [5, 1], [99, 99]]),
        _finish(replay, [[9, 5], [99, 99]]),
        _finish(replay, [[9, 9], [9, 9], [9, 9], [99, 99]]),
    ]
    embedding, distance = representation.embed(replay, np.array(slots[::-1]))
    assert embedding.tolist() == [[4, 8], [4, 4], [1, 0]]
    np.testing.assert_allclose(distance, np.array([4, 0, 1]) / unit)


def _foreign(path: Path, kind: str) -> None:
    model = _model(BASELINE)
    model.save(path)
    content = torch.load(path, weights_only=True)
    if kind == "text":
        path.write_text("not a policy")
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "weights alone":
        torch.save(content["weights"], path)
    elif kind == "other sizes":
        torch.save(content | {"sizes": {"obs_size": 3}}, path)
    elif kind == "other shape":
        torch.save(content | {"sizes": content["sizes"] | {"hidden_size": 9}}, path)
    elif kind == "other problem":
        torch.save(content | {"problem": {"units": ["2s", "3s"]}}, path)
    elif kind == "a tensor":
        torch.save(torch.zeros(3), path)
    elif kind == "pickled code":
        torch.save(content | {"env": Path("x")}, path)


@pytest.mark.parametrize(
    "kind",
    [
        *("text", "truncated", "weights alone", "other sizes", "other shape"),
        *("other problem", "a tensor", "pickled code"),
    ],
)
def test_damaged_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.pt"
    _foreign(path, kind)
    with pytest.raises(TramaError) as caught:
        TrainedModel.load(path, CPU)
    message = str(caught.value)
    assert message.startswith(f"{path}: cannot be read as a trained model (")
    assert message.endswith("Run the target `train` again.") and "\n" not in message


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TramaError, match=r"policy\.pt: there is no such file\. Run the target"):
        TrainedModel.load(tmp_path / "policy.pt", CPU)
