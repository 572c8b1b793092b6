"""What the names of particle scenarios say: `spread_3`, `spread_3_line`, `reference`, `tag_3`."""

import re
from typing import NamedTuple

FAMILIES = ("spread", "reference", "tag")
LAYOUTS = ("uniform", "line", "circle", "north", "east", "south", "west")
"""Where landmarks lie: anywhere, evenly on a line or on a circle that is turned at random, or at
fixed places on that side of the world."""

PATTERN = rf"^(spread_[1-9](_({'|'.join(LAYOUTS[1:])}))?|reference|tag_[1-9])$"
_REFERENCE_LANDMARKS = 3
_OBSTACLES = 2
"""Landmarks of tag, which stand in the way."""


class Scenario(NamedTuple):
    """What a scenario consists of.

    Attributes:
        family: one of `FAMILIES`.
        layout: one of `LAYOUTS`.
        n_agents: agents that learn.
        n_landmarks: things that do not move.
        n_prey: scripted prey.
    """

    family: str
    layout: str
    n_agents: int
    n_landmarks: int
    n_prey: int

    @property
    def speaks(self) -> bool:
        """Whether agents say words."""
        return self.family == "reference"


def parse_scenario(name: str) -> Scenario:
    """Return what a scenario consists of by its name, which matches `PATTERN`.

    `spread_<n>` has n agents and n landmarks; `tag_<n>` has n agents that chase one prey among two
    obstacles; `reference` has two agents and three landmarks.
    """
    assert re.match(PATTERN, name), name
    family, *rest = name.split("_")
    layout = rest[1] if len(rest) > 1 else "uniform"
    if family == "reference":
        return Scenario(family, layout, 2, _REFERENCE_LANDMARKS, 0)
    number = int(rest[0])
    if family == "tag":
        return Scenario(family, layout, number, _OBSTACLES, 1)
    return Scenario(family, layout, number, number, 0)


class Room(NamedTuple):
    """What the environments of a problem have room for; scenarios that need less leave it empty.

    Attributes:
        n_agents, n_landmarks, n_prey: see `Scenario`.
        speech: whether agents can say words.
    """

    n_agents: int
    n_landmarks: int
    n_prey: int
    speech: bool

    @classmethod
    def of(cls, scenarios: list[Scenario]) -> "Room":
        """The least room that all of these scenarios have place in."""
        return cls(
            max(each.n_agents for each in scenarios),
            max(each.n_landmarks for each in scenarios),
            max(each.n_prey for each in scenarios),
            any(each.speaks for each in scenarios),
        )

    def lacks(self, scenario: Scenario) -> str | None:
        """What a scenario needs that there is no room for, in words; None if it has room."""
        if scenario.n_agents > self.n_agents:
            return f"has {scenario.n_agents} agents, the problem at most {self.n_agents}"
        if scenario.n_landmarks > self.n_landmarks:
            return f"has {scenario.n_landmarks} landmarks, the problem at most {self.n_landmarks}"
        if scenario.n_prey > self.n_prey:
            return "has prey, the problem has none"
        if scenario.speaks and not self.speech:
            return "has agents that speak, those of the problem cannot"
        return None
