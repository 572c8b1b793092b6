"""Particle environments of JaxMARL (MPE) as a `VectorEnv`: a mixture of scenarios.

Particles move by JaxMARL's physics. Scenarios of several families and sizes share one compiled
program: it has room for the largest of a problem, and what a scenario lacks lies still at the
origin and touches nothing. A missing agent has one action, which does nothing; it sees nothing, and
the state has zeros of it. `docs/backends.md` describes rewards, success and the scripted prey.

Episodes end at the time limit alone. It is a cut (truncated) and no part of the task, but where the
last steps alone are rewarded: there, episodes end with it (terminated).
"""

import copy
import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from trama.config.backends import Mpe
from trama.config.particles import FAMILIES, LAYOUTS, Room
from trama.config.problems import ScenarioProblem
from trama.environments.base import EnvSpec, equal_chances
from trama.environments.deferred import defer_package, skip_init
from trama.environments.jax_batch import (
    JaxVectorEnv,
    Outcome,
    Seen,
    Simulation,
    log_chances,
    strongly_typed,
)
from trama.errors import TramaError
from trama.tasks import Task, scenario_tasks

for package in ("jaxmarl", "jaxmarl.environments", "jaxmarl.environments.mpe"):
    defer_package(package)

with skip_init("flax"):
    from jaxmarl.environments.mpe.simple import SimpleMPE, State

REFERENCE, TAG = FAMILIES.index("reference"), FAMILIES.index("tag")
MOVES = ("stay", "west", "east", "south", "north")
"""JaxMARL's actions, in its order. With words, an agent moves and says a word at the same time."""

LINE = 0.8
"""Half the length of the line that landmarks lie on."""
CIRCLE = 0.7
"""Radius of the circle that they lie on."""
SIDE, SIDE_LINE = 0.8, 0.6
"""How far from the middle of the world the landmarks of a side lie, and half of their line."""
LOCAL_RATIO = 0.5
"""Share of collisions in JaxMARL's reward of spread; the rest is distance."""
TOUCH_REWARD = 10.0
"""JaxMARL's reward of tag for each agent that touches the prey."""
STRIDE = 0.3
"""How far the prey looks ahead."""
PREY_RADIUS, PREY_ACCELERATION, PREY_SPEED = 0.05, 4.0, 1.3

# Of each family, as in JaxMARL; -1 is no limit.
_AGENT_RADIUS = np.array([0.15, 0.15, 0.075], np.float32)
_LANDMARK_RADIUS = np.array([0.05, 0.2, 0.2], np.float32)
_ACCELERATION = np.array([5.0, 5.0, 3.0], np.float32)
_SPEED = np.array([-1.0, -1.0, 1.0], np.float32)
_AGENTS_COLLIDE = np.array([True, False, True])
_LANDMARKS_COLLIDE = np.array([False, False, True])

_ANGLES = np.arange(8) * (np.pi / 4)
_DIRECTIONS = np.concatenate(
    [np.zeros((1, 2)), np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)]
).astype(np.float32)
"""Ways that the prey can take, staying first."""
_FORBIDDEN = 100.0
"""Outweighs all distances."""


class Mixture(NamedTuple):
    """What may change without compiling anew; the first five for each task.

    Attributes:
        family: position in `FAMILIES`.
        layout: position in `LAYOUTS`.
        n_agents, n_landmarks: how many of them there are.
        log_probability: of drawing the task.
        reward_scale: [families] factor on the team's reward.
        max_steps, success_distance, catches, shown_steps, still_steps: see section env.mpe of the
            config; `shown_steps` is beyond the last where landmarks are always shown.
        unrewarded_steps: at the start of an episode.
    """

    family: Array | NDArray[np.int32]
    layout: Array | NDArray[np.int32]
    n_agents: Array | NDArray[np.int32]
    n_landmarks: Array | NDArray[np.int32]
    log_probability: Array | NDArray[np.float32]
    reward_scale: Array | NDArray[np.float32]
    max_steps: Array | np.int32
    success_distance: Array | np.float32
    catches: Array | np.int32
    shown_steps: Array | np.int32
    still_steps: Array | np.int32
    unrewarded_steps: Array | np.int32


class Scene(NamedTuple):
    """An episode under way.

    Attributes:
        particles: JaxMARL's state: agents, prey and landmarks in this order; `c` has the word that
            each agent said last, `goal` the landmark of each agent, -1 of those without one.
        catches: steps so far in which the prey was touched.
    """

    particles: State
    catches: Array


class Cast(NamedTuple):
    """Who takes part in an episode, of the A agents, P prey and L landmarks that there is room for.

    Attributes:
        family: position in `FAMILIES`.
        agents, prey, landmarks: [A], [P] and [L] which of them there are.
    """

    family: Array
    agents: Array
    prey: Array
    landmarks: Array

    @property
    def present(self) -> Array:
        """[A + P + L] which particles there are."""
        return jnp.concatenate([self.agents, self.prey, self.landmarks])

    def each(self, agent: Array, prey: Array | float, landmark: Array | float) -> Array:
        """[A + P + L] what all agents, all prey and all landmarks have."""
        groups = ((agent, self.agents), (prey, self.prey), (landmark, self.landmarks))
        return jnp.concatenate([jnp.full(there.shape, value) for value, there in groups])

    @property
    def radius(self) -> Array:
        """[A + P + L] radii, 0 of what is missing."""
        agent, landmark = (jnp.asarray(r)[self.family] for r in (_AGENT_RADIUS, _LANDMARK_RADIUS))
        return self.each(agent, PREY_RADIUS, landmark) * self.present


def place_landmarks(key: Array, most: int, n: Array, layout: Array) -> Array:
    """Return where n landmarks lie, [most, 2]; the rest has no meaning."""
    place_key, angle_key = jax.random.split(key)
    anywhere = jax.random.uniform(place_key, (most, 2), minval=-1.0, maxval=1.0)
    angle = jax.random.uniform(angle_key, (), maxval=2 * jnp.pi)
    index = jnp.arange(most)
    along = jnp.where(n > 1, 2 * index / jnp.maximum(n - 1, 1) - 1, 0.0)
    on_line = LINE * along[:, None] * _unit(angle)
    on_circle = CIRCLE * _unit(angle + 2 * jnp.pi * index / n)
    on_north = jnp.stack([SIDE_LINE * along, jnp.full(most, SIDE)], axis=1)
    on_east = on_north[:, ::-1]
    sides = [on_north, on_east, -on_north, -on_east]
    return jnp.stack([anywhere, on_line, on_circle, *sides])[layout]


def flee(prey: Array, chasers: Array, hunting: Array, obstacles: Array, reach: Array) -> Array:
    """Return the unit vector [2] along which prey flees, or zeros where it had better stay.

    Of eight directions and of staying it takes what leads furthest from the chaser that is nearest
    now, by `STRIDE`, but not out of the world or into an obstacle.

    Args:
        prey: [2] where it is.
        chasers: [A, 2].
        hunting: [A] which of them there are.
        obstacles: [L, 2].
        reach: [L] how near it can come to the centre of each.
    """
    nearest = jnp.where(hunting, _norm(chasers - prey), jnp.inf).argmin()
    places = prey + STRIDE * _DIRECTIONS
    outside = jnp.maximum(jnp.abs(places) - 1.0, 0.0).sum(1)
    inside = jnp.maximum(reach - _norm(places[:, None] - obstacles), 0.0).sum(1)
    score = _norm(places - chasers[nearest]) - _FORBIDDEN * (outside + inside)
    return jnp.asarray(_DIRECTIONS)[score.argmax()]


class Particles(Simulation[Mixture, Scene]):
    """The scenarios that a problem has room for."""

    def __init__(self, room: Room, n_words: int) -> None:
        """Set up the world; see `Simulation`.

        Args:
            room: of the problem.
            n_words: W that agents can say; 0 where nobody speaks.
        """
        super().__init__()
        self.room, self.n_words = room, n_words
        self.world = SimpleMPE(
            num_agents=room.n_agents + room.n_prey, num_landmarks=room.n_landmarks
        )
        agents = np.arange(room.n_agents)
        self.others = np.array([np.delete(agents, agent) for agent in agents], np.int32)

    def spec(self, tasks: tuple[str, ...], episode_limit: int) -> EnvSpec:
        """Return sizes and names (see `EnvSpec`) for these tasks."""
        room, n_words = self.room, self.n_words
        moving = ["radius", "x", "y", "velocity_x", "velocity_y"]
        words = [f"word_{word}" for word in range(n_words)]
        own = [*moving, *(["goal_x", "goal_y", *words] if n_words else [])]
        features = [f"agent_{i}_{name}" for i in range(room.n_agents) for name in own]
        features += [f"prey_{i}_{name}" for i in range(room.n_prey) for name in moving]
        features += [f"landmark_{i}_{name}" for i in range(room.n_landmarks) for name in moving[:3]]
        says = [f"_say_{word}" for word in range(n_words)] or [""]
        seen = ["own_velocity_x", "own_velocity_y", "own_x", "own_y"]
        shown = ["present", "x", "y"]
        for kind, number, more in (
            ("prey", room.n_prey, moving[3:]),
            ("landmark", room.n_landmarks, ["told"] if n_words else []),
            ("other", room.n_agents - 1, words),
        ):
            seen += [f"{kind}_{i}_{name}" for i in range(number) for name in [*shown, *more]]
        return EnvSpec(
            n_agents=room.n_agents,
            obs_size=len(seen),
            state_size=len(features),
            n_actions=len(MOVES) * len(says),
            episode_limit=episode_limit,
            tasks=tasks,
            state_features=tuple(features),
            agent_features=np.arange(room.n_agents * len(own)).reshape(room.n_agents, len(own)),
            actions=tuple(f"{move}{say}" for say in says for move in MOVES),
            obs_features=tuple(seen),
        )

    def start_one(self, mixture: Mixture, key: Array) -> tuple[Scene, Array]:
        """Draw one episode's task, where everything is, and where agents have to go."""
        task_key, place_key, landmark_key, goal_key = jax.random.split(key, 4)
        task = jax.random.categorical(task_key, mixture.log_probability)
        cast = self._cast(mixture, task)
        n_moving = self.room.n_agents + self.room.n_prey
        moving = jax.random.uniform(place_key, (n_moving, 2), minval=-1.0, maxval=1.0)
        n_landmarks = jnp.asarray(mixture.n_landmarks)[task]
        layout = jnp.asarray(mixture.layout)[task]
        landmarks = place_landmarks(landmark_key, self.room.n_landmarks, n_landmarks, layout)
        places = jnp.where(cast.present[:, None], jnp.concatenate([moving, landmarks]), 0.0)
        goal = jax.random.randint(goal_key, (self.room.n_agents,), 0, n_landmarks)
        particles = State(
            done=jnp.array(False),
            step=jnp.zeros((), jnp.int32),
            p_pos=places,
            p_vel=jnp.zeros_like(places),
            c=jnp.zeros((self.room.n_agents, self.n_words)),
            goal=jnp.where(_speaking(cast), goal, -1),
        )
        return strongly_typed(Scene(particles, jnp.zeros((), jnp.int32))), task.astype(jnp.int32)

    def step_one(
        self, mixture: Mixture, key: Array, game: Scene, task: Array, actions: Array
    ) -> tuple[Scene, Outcome]:
        """See `Simulation`."""
        cast = self._cast(mixture, task)
        word, move = jnp.divmod(actions, len(MOVES))
        places, velocities = self._moved(key, game.particles, cast, move)
        particles = replace(
            game.particles,
            p_pos=places,
            p_vel=velocities,
            c=jax.nn.one_hot(word, self.n_words) * _speaking(cast)[:, None],
            step=game.particles.step + 1,
        )
        assert particles.goal is not None
        agents, prey, landmarks = self._groups(places)
        touching = (
            _norm(agents[:, None] - prey) < jnp.asarray(_AGENT_RADIUS)[TAG] + PREY_RADIUS
        ) & (cast.agents[:, None] & cast.prey)
        catches = game.catches + touching.any()
        distance = _norm(agents[:, None] - landmarks)
        # Of each landmark to the nearest agent, and of each agent to its goal; 0 without.
        nearest = jnp.where(cast.agents[:, None], distance, jnp.inf).min(0) * cast.landmarks
        to_go = jnp.take_along_axis(distance, particles.goal[:, None], 1)[:, 0] * _speaking(cast)
        n_agents, n_landmarks = cast.agents.sum(), cast.landmarks.sum()
        collisions = self._colliding(agents, cast).sum() / n_agents
        spread = -LOCAL_RATIO * collisions - (1 - LOCAL_RATIO) * nearest.sum()
        rewards = [spread / n_landmarks, -to_go.sum() / n_agents, TOUCH_REWARD * touching.sum()]
        limit = mixture.success_distance
        successes = [
            (nearest <= limit).all(),
            (to_go <= limit).all(),
            catches >= mixture.catches,
        ]
        ended = particles.step >= mixture.max_steps
        rewarded = particles.step > mixture.unrewarded_steps
        decided = ended & (mixture.unrewarded_steps > 0)
        outcome = Outcome(
            reward=rewarded * (jnp.stack(rewards) * mixture.reward_scale)[cast.family],
            terminated=decided,
            truncated=ended & ~decided,
            won=ended & jnp.stack(successes)[cast.family],
        )
        return Scene(particles, catches), outcome

    def observe_one(self, mixture: Mixture, game: Scene, task: Array) -> Seen:
        """See `Simulation`."""
        cast, particles = self._cast(mixture, task), game.particles
        agents, prey, landmarks = self._groups(particles.p_pos)
        velocity, prey_velocity, _ = self._groups(particles.p_vel)
        radius, prey_radius, landmark_radius = self._groups(cast.radius[:, None])
        goals = jax.nn.one_hot(particles.goal, self.room.n_landmarks)  # zeros without one
        told = (goals.sum(0) - goals)[..., None] if self.n_words else goals[..., None][..., :0]
        landmarks_seen = cast.landmarks & (particles.step < mixture.shown_steps)

        def see(agent: Array, others: Array) -> Array:
            here = agents[agent]
            seen = [
                _shown(cast.prey, prey - here, prey_velocity),
                _shown(landmarks_seen, landmarks - here, told[agent]),
                _shown(cast.agents[others], agents[others] - here, particles.c[others]),
            ]
            return cast.agents[agent] * jnp.concatenate([velocity[agent], here, *seen])

        own = [radius, agents, velocity]
        if self.n_words:
            own += [goals @ landmarks, particles.c]
        groups = [own, [prey_radius, prey, prey_velocity], [landmark_radius, landmarks]]
        action = jnp.arange(len(MOVES) * max(self.n_words, 1))
        available = (action < len(MOVES)) | _speaking(cast)[:, None]
        available &= (particles.step >= mixture.still_steps) | (action % len(MOVES) == 0)
        return Seen(
            obs=jax.vmap(see)(jnp.arange(self.room.n_agents), jnp.asarray(self.others)),
            state=jnp.concatenate([jnp.concatenate(group, axis=1).ravel() for group in groups]),
            available_actions=jnp.where(cast.agents[:, None], available, action == 0),
        )

    def _cast(self, mixture: Mixture, task: Array) -> Cast:
        family = jnp.asarray(mixture.family)[task]
        n_agents, n_landmarks = (
            jnp.asarray(n)[task] for n in (mixture.n_agents, mixture.n_landmarks)
        )
        return Cast(
            family,
            agents=jnp.arange(self.room.n_agents) < n_agents,
            prey=jnp.full(self.room.n_prey, family == TAG),
            landmarks=jnp.arange(self.room.n_landmarks) < n_landmarks,
        )

    def _groups(self, values: Array) -> tuple[Array, Array, Array]:
        """Take the rows of all particles apart into those of agents, prey and landmarks."""
        n_agents, n_moving = self.room.n_agents, self.room.n_agents + self.room.n_prey
        return values[:n_agents], values[n_agents:n_moving], values[n_moving:]

    def _moved(self, key: Array, particles: State, cast: Cast, move: Array) -> tuple[Array, Array]:
        """Where all particles are after a step by JaxMARL's physics, and how fast they move."""
        family, present = cast.family, cast.present
        # JaxMARL has these for all episodes alike; here they are those of the episode's task.
        world = copy.copy(self.world)
        world.rad = cast.radius
        world.collide = present & cast.each(
            jnp.asarray(_AGENTS_COLLIDE)[family], True, jnp.asarray(_LANDMARKS_COLLIDE)[family]
        )
        world.moveable = present & cast.each(jnp.array(True), True, False)
        world.accel = cast.each(jnp.asarray(_ACCELERATION)[family], PREY_ACCELERATION, 0.0)
        world.max_speed = cast.each(jnp.asarray(_SPEED)[family], PREY_SPEED, 0.0)
        agents, prey, landmarks = self._groups(particles.p_pos)
        force = world._decode_discrete_action(jnp.arange(len(move)), move)[0]
        reach = self._groups(cast.radius)[2]
        reach = jnp.where(cast.landmarks, reach + PREY_RADIUS, 0.0)
        flight = [flee(each, agents, cast.agents, landmarks, reach) for each in prey]
        if flight:
            prey_force = PREY_ACCELERATION * jnp.stack(flight)
            force = jnp.concatenate([force, prey_force * cast.prey[:, None]])
        moved: tuple[Array, Array] = world._world_step(key, particles, force)
        return moved

    def _colliding(self, agents: Array, cast: Cast) -> Array:
        """[A, A] which agents touch each other, by JaxMARL's measure."""
        near = _norm(agents[:, None] - agents) < 2 * jnp.asarray(_AGENT_RADIUS)[cast.family]
        both = cast.agents[:, None] & cast.agents
        return near & both & ~jnp.eye(len(agents), dtype=jnp.bool_)


class MpeVectorEnv(JaxVectorEnv[Mixture, Scene]):
    """N particle scenarios; see `JaxVectorEnv`."""

    def __init__(
        self, problem: ScenarioProblem, settings: Mpe, n_envs: int, tasks: Sequence[Task]
    ) -> None:
        """See `trama.environments.make_env`."""
        particles = _particles(problem.room, settings.words if problem.room.speech else 0)
        spec = particles.spec(tuple(task.name for task in tasks), settings.episode_limit)
        super().__init__(particles, _mixture(problem, settings, tasks), spec, n_envs)


@functools.cache
def _particles(room: Room, n_words: int) -> Particles:
    return Particles(room, n_words)


def _mixture(problem: ScenarioProblem, settings: Mpe, tasks: Sequence[Task]) -> Mixture:
    scenarios = [task.scenario for task in scenario_tasks(tasks)]
    for task, scenario in zip(tasks, scenarios, strict=True):
        reason = problem.room.lacks(scenario)
        if reason is not None:
            raise TramaError(f"Task {task.name!r} {reason}: the policy has no place for the rest.")
    scale = settings.reward_scale
    return Mixture(
        family=np.array([FAMILIES.index(each.family) for each in scenarios], np.int32),
        layout=np.array([LAYOUTS.index(each.layout) for each in scenarios], np.int32),
        n_agents=np.array([each.n_agents for each in scenarios], np.int32),
        n_landmarks=np.array([each.n_landmarks for each in scenarios], np.int32),
        log_probability=log_chances(equal_chances(len(scenarios))),
        reward_scale=np.array([getattr(scale, family) for family in FAMILIES], np.float32),
        max_steps=np.int32(settings.max_steps),
        success_distance=np.float32(settings.success_distance),
        catches=np.int32(settings.catches),
        # The observation after the last step counts, too.
        shown_steps=np.int32(settings.shown_steps or settings.max_steps + 1),
        still_steps=np.int32(settings.still_steps),
        unrewarded_steps=np.int32(
            settings.max_steps - (settings.rewarded_steps or settings.max_steps)
        ),
    )


def _speaking(cast: Cast) -> Array:
    """[A] which agents speak and have a goal of their own."""
    return cast.agents & (cast.family == REFERENCE)


def _shown(there: Array, *parts: Array) -> Array:
    """Flat rows of what there is: a 1, and the parts [rows, ...]; zeros of what is missing."""
    rows = jnp.concatenate([jnp.ones((len(there), 1)), *parts], axis=1)
    return (rows * there[:, None]).ravel()


def _norm(vectors: Array) -> Array:
    return jnp.sqrt(jnp.square(vectors).sum(-1))


def _unit(angle: Array) -> Array:
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
