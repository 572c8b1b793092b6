"""Observations as sets of entities: weights that all like entities share, whatever their order."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Group:
    """Like entities that an observation describes one after the other.

    Attributes:
        entries: [n][F] where each of the n entities has its F features.
        actions: [n] the action on each entity; none where there are no such actions.
    """

    entries: tuple[tuple[int, ...], ...]
    actions: tuple[int, ...]


class Grouping(NamedTuple):
    """What the entries of an observation, and the actions, are about.

    Attributes:
        groups: of like entities.
        others: [P] entries that are about no entity.
        untargeted: actions on no entity.
    """

    groups: tuple[Group, ...]
    others: tuple[int, ...]
    untargeted: tuple[int, ...]


def group_entities(obs_features: Sequence[str], actions: Sequence[str]) -> Grouping:
    """Find the entities of an observation by their names.

    `enemy_0_x` and `enemy_1_x` are feature `x` of entities 0 and 1 of one group, and
    `attack_enemy_1` is the action on the second.

    Args:
        obs_features: name of each entry of an observation.
        actions: name of each action.

    Raises:
        ValueError: entities of one name have different features.
    """
    found: dict[str, dict[int, dict[str, int]]] = {}
    others = []
    for entry, name in enumerate(obs_features):
        match = re.fullmatch(r"([a-z]+)_(\d+)_(.+)", name)
        if match is None:
            others.append(entry)
        else:
            kind, number, feature = match.groups()
            found.setdefault(kind, {}).setdefault(int(number), {})[feature] = entry
    number_of = {name: number for number, name in enumerate(actions)}
    groups = []
    for kind, entities in found.items():
        features = list(next(iter(entities.values())))
        if any(list(own) != features for own in entities.values()):
            raise ValueError(f"entities `{kind}` have different features in an observation")
        attacks = [f"attack_{kind}_{number}" for number in entities]
        acted_on = all(name in number_of for name in attacks)
        groups.append(
            Group(
                entries=tuple(tuple(own.values()) for own in entities.values()),
                actions=tuple(number_of[name] for name in attacks) if acted_on else (),
            )
        )
    targeted = {action for group in groups for action in group.actions}
    untargeted = tuple(action for action in range(len(actions)) if action not in targeted)
    return Grouping(tuple(groups), tuple(others), untargeted)


class EntityEncoder(nn.Module):
    """Sum over like entities of one layer's outputs, which all of them share (Deep Sets).

    Args:
        grouping: of the observation.
        size: E, width of that layer.
        hidden_size: H.
    """

    others: Tensor

    def __init__(self, grouping: Grouping, size: int, hidden_size: int):
        super().__init__()
        self.register_buffer("others", torch.tensor(grouping.others), persistent=False)
        for number, group in enumerate(grouping.groups):
            entries = torch.tensor(group.entries)
            self.register_buffer(f"entries_{number}", entries, persistent=False)
        groups = grouping.groups
        self.layers = nn.ModuleList(nn.Linear(len(group.entries[0]), size) for group in groups)
        self.join = nn.Linear(size * len(groups), hidden_size, bias=False)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Encode observations [R, O].

        Returns:
            The entries about no entity [R, P], all entities together [R, H], and those of each
            group [R, n, E].
        """
        shown = []
        for number, layer in enumerate(self.layers):
            entries = getattr(self, f"entries_{number}")
            of_group = obs.index_select(1, entries.flatten()).view(-1, entries.shape[1])
            shown.append(layer(of_group).relu_().view(len(obs), len(entries), -1))
        together = self.join(torch.cat([entities.sum(1) for entities in shown], 1))
        return obs.index_select(1, self.others), together, shown


class EntityHead(nn.Module):
    """Values of actions: of those on an entity by what is known of it, the others as usual.

    Args:
        grouping: of observation and actions.
        size: E, as in the encoder.
        hidden_size: H.
    """

    order: Tensor

    def __init__(self, grouping: Grouping, size: int, hidden_size: int):
        super().__init__()
        self.targeted = [i for i, group in enumerate(grouping.groups) if group.actions]
        self.untargeted = nn.Linear(hidden_size, len(grouping.untargeted))
        self.asked = nn.ModuleList(nn.Linear(hidden_size, size + 1) for _ in self.targeted)
        of_groups = [a for i in self.targeted for a in grouping.groups[i].actions]
        order = torch.tensor([*grouping.untargeted, *of_groups]).argsort()
        self.register_buffer("order", order, persistent=False)

    def forward(self, hidden: Tensor, shown: list[Tensor]) -> Tensor:
        """Values [R, U] from hidden states [R, H] and the entities of each group [R, n, E]."""
        values = [self.untargeted(hidden)]
        for group, layer in zip(self.targeted, self.asked, strict=True):
            asked = layer(hidden)  # what is looked for in an entity, and a value of any
            found = shown[group] * asked[:, None, 1:]  # many small products: faster than matmul
            values.append(found.sum(2) + asked[:, :1])
        return torch.cat(values, 1).index_select(1, self.order)
