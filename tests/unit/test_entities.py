"""Networks that take an observation as a set of entities."""

from dataclasses import replace

import pytest
import torch

from trama.learning.policy import Policy, PolicySizes
from trama.networks.agent import AgentHistory
from trama.networks.entities import Group, Grouping, group_entities

OBS = (
    *("enemy_0_x", "enemy_0_is_2", "own_x", "enemy_1_x", "enemy_1_is_2"),
    *("other_0_x", "other_1_x", "other_2_x"),
)
ACTIONS = ("north", "attack_enemy_0", "attack_enemy_1", "stop")
SIZES = PolicySizes(8, 2, 4, 16, 3, 8, obs_features=OBS, actions=ACTIONS)


def test_entities_are_found_by_their_names() -> None:
    assert group_entities(OBS, ACTIONS) == Grouping(
        groups=(Group(((0, 1), (3, 4)), (1, 2)), Group(((5,), (6,), (7,)), ())),
        others=(2,),
        untargeted=(0, 3),
    )


def test_an_entity_has_the_action_of_its_number_wherever_that_stands() -> None:
    features = ("enemy_1_x", "enemy_0_x")
    grouping = group_entities(features, ("attack_enemy_0", "stop", "attack_enemy_1"))
    assert grouping.groups == (Group(((0,), (1,)), (2, 0)),)
    # Without an action on each of them there is none on any.
    assert group_entities(features, ("stop", "attack_enemy_1")).untargeted == (0, 1)


def test_an_observation_without_entities_is_one_vector() -> None:
    assert group_entities(("a", "b_x"), ("stop",)) == Grouping((), (0, 1), (0,))


def test_entities_of_a_kind_must_be_alike() -> None:
    with pytest.raises(ValueError, match="`enemy` have different features"):
        group_entities(("enemy_0_x", "enemy_1_y"), ())


def _values(policy: Policy, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Action values [A, U] and class logits [A, K] after two steps of one episode."""
    history = AgentHistory.of(obs, torch.tensor([[-1, -1], [0, 3]]))
    assert policy.predictor is not None
    classes = torch.tensor([[1, 0], [2, 1]])
    with torch.no_grad():
        values = policy.action_values(history, classes, [1, 1])
        return values[-1], policy.predictor(history, [1, 1])[-1]


@pytest.mark.parametrize("conditioning", ["input", "film", "hypernetwork"])
def test_the_order_of_like_entities_has_no_part_in_it(conditioning: str) -> None:
    """The values of the actions on them follow them; nothing else changes."""
    torch.manual_seed(0)
    policy = Policy(replace(SIZES, conditioning=conditioning))
    obs = torch.randn(2, 2, 8)
    values, logits = _values(policy, obs)
    assert (values[:, 1] - values[:, 2]).abs().min() > 1e-4
    enemies = [3, 4, 2, 0, 1, 5, 6, 7]
    swapped, same_logits = _values(policy, obs[..., enemies])
    torch.testing.assert_close(swapped, values[:, [0, 2, 1, 3]])
    torch.testing.assert_close(same_logits, logits)
    fellows = [0, 1, 2, 3, 4, 7, 5, 6]
    torch.testing.assert_close(_values(policy, obs[..., fellows])[0], values)
    other = obs.clone()
    other[..., 2] += 1  # about itself
    assert (_values(policy, other)[0] - values).abs().max() > 1e-3


def test_an_action_on_an_entity_depends_on_that_entity() -> None:
    torch.manual_seed(0)
    policy = Policy(SIZES)
    obs = torch.zeros(2, 2, 8)
    obs[..., 1] = 1.0  # all that tells the enemies apart
    optimiser = torch.optim.Adam(policy.parameters(), lr=1e-2)
    history = AgentHistory.of(obs, torch.tensor([[-1, -1], [0, 3]]))
    for _ in range(150):
        values = policy.action_values(history, torch.zeros(2, 2, dtype=torch.int64), [1, 1])
        loss = (values[..., 1] - 1).square().mean() + values[..., 2].square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 1e-2
    values, _ = _values(policy, obs[..., [3, 4, 2, 0, 1, 5, 6, 7]])
    assert (values[:, 2] > 0.8).all() and (values[:, 1] < 0.2).all()
