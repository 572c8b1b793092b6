"""An episode to watch: an animated GIF with a frame per state, and a contact sheet of some."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from string import ascii_uppercase
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch
from matplotlib.patheffects import withStroke
from PIL import Image

from trama.environments.base import EnvSpec
from trama.errors import TramaError
from trama.learning.replay import ReplayBuffer
from trama.reporting import style

FRAMES_PER_SECOND = 5
LAST_FRAME_SECONDS = 3
SHEET_FRAMES = 12
"""Most frames of a contact sheet."""
_SHEET_COLUMNS = 4
_GIF_PANEL, _SHEET_PANEL = 4.8, 2.8
"""Side of a panel, inches."""
_DPI = 120
_UNIT = 0.06
"""Size of a unit's mark as a share of the panel."""

_DARK, _FAINT, _FALLEN = "#404040", "#C8C8C8", "#8C8C8C"
_PARTICLES = {"agent": "", "prey": _FALLEN, "landmark": _FAINT}
"""Kinds of particles, and the colour of those that are no agents."""
_TEAM = style.PALETTE[5]
"""Colour of agents that predict no class."""
_STRIP = 0.8
"""Height of an agent's strip; the next one begins at 1."""


class Unit(NamedTuple):
    """A unit, or a particle, in the T + 1 states of an episode.

    Attributes:
        name: as in the names of the state's features; agent i is `ally_<i>`, or `agent_<i>` among
            particles.
        symbol: letter of its type; empty if it never lived, and of particles.
        health: [T + 1] as a share, 0 of the dead; 1 of particles that there are, 0 of others.
        position: [T + 1, 2]; of the dead, where they lived last.
        radius: of a particle; 0 of a unit, which is drawn as a mark of one size.
    """

    name: str
    symbol: str
    health: np.ndarray
    position: np.ndarray
    radius: float = 0.0

    @property
    def living(self) -> np.ndarray:
        """Whether it lives in each state, [T + 1]; in none if its team lacks this unit."""
        alive: np.ndarray = self.health > 0
        return alive


@dataclass(frozen=True)
class Episode:
    """An episode of T steps of A agents, as it is shown.

    Attributes:
        task: its name.
        player: who plays, in a few words.
        outcome: in a few words.
        units: the agents in their order, then their enemies, or prey and landmarks.
        types: names of the unit types that take part, by their letters.
        reward: [T] of the step that begins in a state.
        target: [T, A] place in `units` of the unit that an agent attacks, -1 if none.
        classes: [T, A] trajectory classes that the agents used; not shown without probabilities.
        probabilities: [T, A, K] that the agents give to each class; None without classes.
    """

    task: str
    player: str
    outcome: str
    units: tuple[Unit, ...]
    types: Mapping[str, str]
    reward: np.ndarray
    target: np.ndarray
    classes: np.ndarray
    probabilities: np.ndarray | None

    @classmethod
    def of(
        cls,
        replay: ReplayBuffer,
        slot: int,
        spec: EnvSpec,
        symbols: Mapping[str, str],
        player: str,
        probabilities: np.ndarray | None,
    ) -> "Episode":
        """Read a finished episode from its slot of a replay buffer.

        Args:
            replay: holds the episode.
            slot: where.
            spec: of the environment, with the names of the state's features and of the actions.
            symbols: letters of the unit types by their names.
            player: see the class.
            probabilities: see the class.

        Raises:
            TramaError: the state does not have what is shown of a unit.
        """
        length = int(replay.length[slot])
        # A backend may know more types than this environment has.
        present = [name for name in symbols if f"ally_0_is_{name}" in spec.state_features]
        symbols = {name: symbols[name] for name in present}
        units = units_of(replay.state[slot, : length + 1], spec, symbols)
        seen = {unit.symbol for unit in units}
        names = [unit.name for unit in units]
        attacked = [action.removeprefix("attack_") for action in spec.actions]
        target = np.array([names.index(name) if name in names else -1 for name in attacked])
        undecided = "lost" if replay.terminated[slot] else "time is up"
        return cls(
            task=spec.tasks[replay.task[slot]],
            player=player,
            outcome="won" if replay.won[slot] else undecided,
            units=units,
            types={symbol: name for name, symbol in symbols.items() if symbol in seen},
            reward=replay.reward[slot, :length].astype(np.float64),
            target=target[replay.action[slot, :length]],
            classes=replay.classes[slot, :length],
            probabilities=probabilities,
        )

    @property
    def n_steps(self) -> int:
        """T."""
        return len(self.reward)

    @property
    def agents(self) -> tuple[Unit, ...]:
        """The A agents."""
        return self.units[: self.target.shape[1]]

    @property
    def of_particles(self) -> bool:
        """Whether particles are shown, not units."""
        return self.units[0].radius > 0


def units_of(state: np.ndarray, spec: EnvSpec, symbols: Mapping[str, str]) -> tuple[Unit, ...]:
    """Find the units in the states [T + 1, S] of an episode by the names of the state's features.

    Args:
        state: as the environment gave it.
        spec: of the environment.
        symbols: letters of the unit types by their names.

    Returns:
        The agents in their order, then their enemies by their numbers; or all particles.

    Raises:
        TramaError: the state does not have what is shown of a unit.
    """
    columns = dict(zip(spec.state_features, state.T, strict=True))
    particles = [name.removesuffix("_radius") for name in columns if name.endswith("_radius")]
    if particles:
        return tuple(_particle(name, columns) for name in sorted(particles, key=_order))
    found = [re.fullmatch(r"enemy_(\d+)_health", name) for name in spec.state_features]
    enemies = sorted(int(match[1]) for match in found if match)
    names = [f"ally_{i}" for i in range(spec.n_agents)] + [f"enemy_{i}" for i in enemies]
    try:
        return tuple(_unit(name, columns, symbols) for name in names)
    except KeyError as error:
        raise TramaError(
            f"The state of this environment has no feature {error}: its episodes cannot be drawn."
        ) from error


def _order(name: str) -> tuple[int, int]:
    """Where a particle stands among all: agents come first."""
    kind, _, number = name.partition("_")
    return list(_PARTICLES).index(kind), int(number)


def _particle(name: str, columns: Mapping[str, np.ndarray]) -> Unit:
    radius = columns[f"{name}_radius"]
    position = np.stack([columns[f"{name}_x"], columns[f"{name}_y"]], axis=1)
    return Unit(name, "", np.sign(radius), position, float(radius.max()))


def _unit(name: str, columns: Mapping[str, np.ndarray], symbols: Mapping[str, str]) -> Unit:
    health = columns[f"{name}_health"]
    # Of the dead, states show zeros.
    last = np.maximum.accumulate(np.where(health > 0, np.arange(len(health)), 0))
    position = np.stack([columns[f"{name}_x"], columns[f"{name}_y"]], axis=1)[last]
    own = [symbol for kind, symbol in symbols.items() if columns[f"{name}_is_{kind}"].any()]
    return Unit(name, "".join(own), health, position)


class _Look(NamedTuple):
    """How a unit is drawn; `used` is the letter of its class."""

    marker: str
    colour: str
    label: str
    used: str


def write_gif(episode: Episode, path: Path) -> None:
    """Write an animation with a frame for each of the T + 1 states, which stays on the last one."""
    with style.figure_style():
        figure, (panel,), strips = _arrange(episode, 1, 1, _GIF_PANEL)
        changing: list[Artist] = [panel]
        if strips is not None:
            cursor = _mark_step(strips, 0)
            changing.append(cursor)
        _draw_state(panel, episode, 0, _GIF_PANEL)
        canvas = FigureCanvasAgg(figure)
        figure.draw_without_rendering()
        # All frames have one layout, and share what does not change: five times as fast.
        figure.set_layout_engine("none")
        for artist in changing:
            artist.set_animated(True)
        canvas.draw()
        background = canvas.copy_from_bbox(figure.bbox)
        frames = []
        for step in range(episode.n_steps + 1):
            canvas.restore_region(background)
            panel.clear()
            _draw_state(panel, episode, step, _GIF_PANEL)
            if strips is not None:
                cursor.set_xdata([step, step])
            for artist in changing:
                figure.draw_artist(artist)
            frames.append(Image.fromarray(np.array(canvas.buffer_rgba())).convert("RGB"))
    durations = [1000 // FRAMES_PER_SECOND] * episode.n_steps + [1000 * LAST_FRAME_SECONDS]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def write_contact_sheet(episode: Episode, path: Path) -> None:
    """Write a PNG of up to `SHEET_FRAMES` states, evenly spaced from the first to the last one."""
    n_shown = min(SHEET_FRAMES, episode.n_steps + 1)
    steps = np.linspace(0, episode.n_steps, n_shown).round().astype(int)
    with style.figure_style():
        rows = -(-n_shown // _SHEET_COLUMNS)
        figure, panels, strips = _arrange(episode, rows, _SHEET_COLUMNS, _SHEET_PANEL)
        for panel, step in zip(panels, steps, strict=False):
            _draw_state(panel, episode, int(step), _SHEET_PANEL)
        for panel in panels[n_shown:]:
            panel.set_axis_off()
        if strips is not None:
            for step in steps:
                _mark_step(strips, int(step))
        title = f"{episode.player}: {episode.task}"
        figure.savefig(path, metadata={"Title": title, "Software": None})


def _arrange(
    episode: Episode, rows: int, columns: int, panel_size: float
) -> tuple[Figure, list[Axes], Axes | None]:
    """A figure with title and legend, panels for states, and the strips of classes if any."""
    heights = [panel_size + 0.25] * rows
    if episode.probabilities is not None:
        heights.append(0.5 + 0.2 * len(episode.agents))
    figure = Figure(figsize=(panel_size * columns, sum(heights) + 1.0), dpi=_DPI)
    figure.suptitle(f"{episode.task}\n{episode.player}", fontweight="bold")
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    panels = [figure.add_subplot(grid[i // columns, i % columns]) for i in range(rows * columns)]
    strips = None
    if episode.probabilities is not None:
        strips = figure.add_subplot(grid[rows, :])
        _draw_strips(strips, episode, episode.probabilities)
    figure.legend(handles=_legend(episode), loc="outside lower center", ncols=3 + columns)
    return figure, panels, strips


def _draw_state(axes: Axes, episode: Episode, step: int, panel_size: float) -> None:
    """Draw where the units are in the state of a step, 0 to T, and what the agents do in it."""
    last = step == episode.n_steps
    seen = np.concatenate([unit.position for unit in episode.units if unit.living.any()])
    side = 1.2 * float(np.ptp(seen, axis=0).max())
    left, bottom = (seen.min(0) + seen.max(0) - side) / 2
    axes.set(xlim=(left, left + side), ylim=(bottom, bottom + side), aspect="equal")
    size = _UNIT * side, _UNIT * 72 * panel_size
    colours = _class_colours(episode)
    for agent, unit in enumerate(episode.agents):
        target = -1 if last else episode.target[step, agent]
        if target >= 0:
            ends = np.stack([unit.position[step], episode.units[target].position[step]])
            axes.plot(*ends.T, color=_DARK, linewidth=0.08 * size[1], zorder=1)
        used, colour = "", _TEAM
        if colours:
            # Nobody acts in the last state: the class of the step before stands.
            number = int(episode.classes[min(step, episode.n_steps - 1), agent])
            used, colour = _letter(number), colours[number]
        _draw_unit(axes, unit, step, size, _Look("o", colour, f"{unit.symbol}{agent}", used))
    for unit in episode.units[len(episode.agents) :]:
        colour = _PARTICLES.get(unit.name.partition("_")[0], "#FFFFFF")
        _draw_unit(axes, unit, step, size, _Look("s", colour, unit.symbol, ""))
    axes.tick_params(labelbottom=False, labelleft=False, length=0)
    axes.spines[["top", "right"]].set_visible(True)
    so_far = episode.reward[:step].sum()
    outcome = f": {episode.outcome}" if last else ""
    axes.set_title(f"step {step} of {episode.n_steps}, reward so far {so_far:.1f}{outcome}")


def _draw_unit(axes: Axes, unit: Unit, step: int, size: tuple[float, float], look: _Look) -> None:
    """Draw a unit; `size` is that of its mark, on the map and in points."""
    if not unit.living.any():
        return
    (x, y), (on_map, points) = unit.position[step], size
    centred: dict[str, Any] = {"ha": "center", "va": "center_baseline"}
    beside = x + 0.75 * on_map, y - 0.5 * on_map
    bold: dict[str, Any] = {"fontsize": 0.55 * points, "fontweight": "bold", "zorder": 5}
    if unit.radius > 0:
        # The smaller ones on top.
        circle = Circle((x, y), unit.radius, facecolor=look.colour, edgecolor=_DARK)
        circle.set_zorder(3 - unit.radius)
        axes.add_patch(circle)
        axes.text(x, y, look.label, color=_on(look.colour), fontsize=points / 2, **centred)
        axes.text(beside[0], beside[1], look.used, **bold, **centred)
        return
    mark: dict[str, Any] = {"marker": look.marker, "markersize": points}
    if not unit.living[step]:
        axes.plot(x, y, color="none", markeredgecolor=_FAINT, zorder=2, **mark)
        axes.text(x, y, look.label, color=_FALLEN, fontsize=points / 2, zorder=2, **centred)
        return
    axes.plot(x, y, color=look.colour, markeredgecolor=_DARK, zorder=3, **mark)
    axes.text(x, y, look.label, color=_on(look.colour), fontsize=points / 2, **centred)
    axes.text(beside[0], beside[1], look.used, **bold, **centred)
    for share, colour in ((1.0, _FAINT), (unit.health[step], "#000000")):
        axes.plot(
            [x - on_map / 2, x - on_map / 2 + share * on_map],
            [y + 0.75 * on_map] * 2,
            color=colour,
            linewidth=0.2 * points,
            solid_capstyle="butt",
            zorder=4,
        )


def _draw_strips(axes: Axes, episode: Episode, probabilities: np.ndarray) -> None:
    """Draw the probabilities of the classes over time: a strip for each agent while it lives."""
    colours = _class_colours(episode)
    lived = [agent for agent, unit in enumerate(episode.agents) if unit.living.any()]
    for row, agent in enumerate(lived):
        n_steps = int(episode.agents[agent].living[:-1].sum())
        edges = np.arange(n_steps + 1)
        top = np.full(n_steps, float(row))
        for number, colour in enumerate(colours):
            bottom = top + _STRIP * probabilities[:n_steps, agent, number]
            axes.stairs(bottom, edges, baseline=top, fill=True, color=colour)
            top = bottom
        for start, end, used in _stretches(episode.classes[:n_steps, agent]):
            if end - start >= episode.n_steps / 40:
                axes.text(
                    (start + end) / 2,
                    row + _STRIP / 2,
                    _letter(used),
                    fontsize=6,
                    fontweight="bold",
                    ha="center",
                    va="center_baseline",
                    bbox={"boxstyle": "round,pad=0.1", "color": "#FFFFFF"},
                )
    names = [f"{episode.agents[agent].symbol}{agent}" for agent in lived]
    axes.set_yticks(np.arange(len(names)) + _STRIP / 2, names)
    axes.set(xlim=(0, episode.n_steps), ylim=(len(names), _STRIP - 1), xlabel="Step")
    axes.set_title("Class that each agent predicts: probabilities, and letter of the one in use")
    axes.tick_params(axis="y", length=0)
    axes.grid(False)


def _mark_step(strips: Axes, step: int) -> Line2D:
    """Draw a line at a step, which stands out on any colour."""
    around = withStroke(linewidth=3, foreground="#FFFFFF")
    return strips.axvline(step, color=_DARK, linewidth=1.2, clip_on=False, path_effects=[around])


def _stretches(values: np.ndarray) -> list[tuple[int, int, int]]:
    """Start, end and value of each stretch of equal values [T]."""
    bounds = [*np.flatnonzero(np.diff(values, prepend=-1)).tolist(), len(values)]
    return [(start, end, int(values[start])) for start, end in pairwise(bounds)]


def _legend(episode: Episode) -> list[Line2D | Patch]:
    """What marks, letters and colours mean."""

    def mark(marker: str, label: str, colour: str, edge: str) -> Line2D:
        look: dict[str, Any] = {"color": colour, "markeredgecolor": edge, "markersize": 7}
        return Line2D([], [], linestyle="none", marker=marker, label=label, **look)

    agent = mark("o", "agent", "#FFFFFF" if episode.probabilities is not None else _TEAM, _DARK)
    if episode.of_particles:
        others = [mark("o", kind, colour, _DARK) for kind, colour in _PARTICLES.items() if colour]
    else:
        others = [
            mark("s", "enemy", "#FFFFFF", _DARK),
            mark("s", "fallen", "#FFFFFF", _FAINT),
            Line2D([], [], color=_DARK, linewidth=1, label="attacks"),
        ]
    return [
        agent,
        *others,
        *(
            mark(f"$\\mathrm{{{symbol}}}$", name, "#000000", "none")
            for symbol, name in episode.types.items()
        ),
        *(
            Patch(color=colour, label=f"{_letter(number)}: class {number}")
            for number, colour in enumerate(_class_colours(episode))
        ),
    ]


def _class_colours(episode: Episode) -> list[str]:
    """The colour of each class, as in the other figures."""
    n_classes = 0 if episode.probabilities is None else episode.probabilities.shape[2]
    looks = style.looks([f"class {number}" for number in range(n_classes)])
    return [look.colour for look in looks.values()]


def _letter(number: int) -> str:
    return ascii_uppercase[number % len(ascii_uppercase)]


def _on(colour: str) -> str:
    """Black or white, whichever is easier to read on a colour."""
    lightness = float(np.dot([0.299, 0.587, 0.114], to_rgb(colour)))
    return "#000000" if lightness > 0.5 else "#FFFFFF"
