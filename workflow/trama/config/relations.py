"""The rules between sections of the configuration."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from trama.config.macros import clashing_names, letters
from trama.config.trees import KeyPath, has_path, value_at
from trama.config.validation import Broken, nested, unknown

if TYPE_CHECKING:
    from trama.config.model import RL, Config, Representation, Train, Variant
    from trama.config.problems import Tasks

TRAINED = "trained"
"""What the tasks of a problem itself are called beside the names of task sets."""

_OF_CLUSTERS = ("warm_start", "vqvae_updates", "clustering")
"""Keys of section train that only variants with a representation read."""

UNSEEN = "unseen"
"""What all tasks of the task sets together are called."""


def broken_relations(config: "Config") -> tuple[list[Broken], list[InitErrorDetails]]:
    """The rules between sections that `config` breaks, and the errors in variants' overrides."""
    problems = [
        *unknown_names("problem", config.study.problems, config.problems),
        *unknown_names("variant", config.study.variants, config.variants),
        *_collect_rules(config),
        *_kind_rules(config),
        *_unit_rules(config),
        *_task_set_rules(config),
        *_representation_rules(config),
        *_report_rules(config),
        *_fallback_rules(config),
    ]
    never_clustered: list[Broken] = []
    overrides: list[InitErrorDetails] = []
    for name, variant in config.variants.items():
        problems += _variant_rules(config, name, variant)
        try:
            train = config.train_for(variant)
        except ValidationError as error:
            overrides += nested(("variants", name, "train"), error)
        else:
            problems += _override_rules(config, name, variant, train)
            if name in config.study.variants:
                never_clustered += _clustering_rules(config, name, variant, train)
    # Variants that share section train share the problem.
    return problems + list(dict.fromkeys(never_clustered)), overrides


def unused_train_keys(
    variant: "Variant", representation: "Representation | None", train: "Train"
) -> list[tuple[tuple[str, ...], str]]:
    """Key paths of section train that have no effect, each with the reason in words.

    `representation` is the variant's (None without one), `train` its merged section train.
    """
    unused: list[tuple[tuple[str, ...], str]] = [
        ((other,), f"mixer {variant.mixer}")
        for other in ("qmix", "qplex")
        if other != variant.mixer
    ]
    unused += [((key,), reason) for key, reason in unused_optimiser_keys(train)]
    if not variant.has_classes:
        of_classes = ("predictor", "class_representation", *_OF_CLUSTERS)
        return unused + [((key,), "no trajectory classes") for key in of_classes]
    if representation is None:
        unused += [((key,), "labels true_task") for key in _OF_CLUSTERS]
    elif representation.embedding == "mean_state":
        unused.append((("vqvae_updates",), "embedding mean_state"))
    if train.class_representation.kind == "one_hot":
        unused += [
            (("class_representation", key), "kind one_hot") for key in ("hidden_size", "size")
        ]
    return unused


def unused_optimiser_keys(section: "RL") -> list[tuple[str, str]]:
    """Keys of an optimiser that `section` does not choose, each with the reason in words."""
    if section.optimiser == "rmsprop":
        return []
    return [(key, f"optimiser {section.optimiser}") for key in ("rmsprop_alpha", "rmsprop_eps")]


def unknown_names(kind: str, names: Sequence[Any], definitions: Iterable[str]) -> list[Broken]:
    """Names in study.problems or study.variants (`kind`: "problem", "variant") without definition.

    What is not text in `names` is left to the check of types.
    """
    known = tuple(definitions)
    return [
        unknown(("study", f"{kind}s", i), kind, name, known)
        for i, name in enumerate(names)
        if isinstance(name, str) and name not in known
    ]


def _kind_rules(config: "Config") -> list[Broken]:
    """The backend plays the problems of the study, and the task sets that it evaluates on."""
    env = config.env
    kinds = " and ".join(kind.kind for kind in env.settings.plays)
    problems = []
    for path, name, tasks in _used(config):
        if not isinstance(tasks, env.settings.plays):
            able = [
                name for name, backend in env.backends.items() if isinstance(tasks, backend.plays)
            ]
            message = (
                f"has {tasks.kind}, but backend {env.backend} plays {kinds}: set env.backend to "
                f"{' or '.join(able)}, or name others here"
            )
            others: tuple[KeyPath, ...] = ((path[1], name, tasks.told_by), ("env", "backend"))
            problems.append(Broken(path, message, name, others=others))
        elif (refused := env.settings.refuses(tasks)) is not None:
            where, reason = refused
            message = f"{reason}; backend {env.backend} cannot play it"
            others = ((path[1], name, *where), ("env", "backend"))
            problems.append(Broken(path, message, name, others=others))
    return problems


def _used(config: "Config") -> list[tuple[KeyPath, str, "Tasks"]]:
    """Problems and task sets that the study uses: where it names them, their name, definition."""
    problems: Mapping[str, Tasks] = config.problems
    task_sets: Mapping[str, Tasks] = config.task_sets
    return [
        ((section, key, i), name, definitions[name])
        for section, key, names, definitions in (
            ("study", "problems", config.study.problems, problems),
            ("evaluate", "task_sets", config.evaluate.task_sets, task_sets),
        )
        for i, name in enumerate(names)
        if name in definitions
    ]


def _unit_rules(config: "Config") -> list[Broken]:
    """The chosen backend has the units that the study uses; some backend has those of the rest."""
    env = config.env
    own = env.settings.units
    of_any = {symbol: name for b in env.backends.values() for symbol, name in b.units.items()}
    used = {(path[1], name) for path, name, _ in _used(config)}
    sections: dict[str, Mapping[str, Tasks]] = {
        "problems": config.problems,
        "task_sets": config.task_sets,
    }
    problems = []
    for section, definitions in sections.items():
        for name, tasks in definitions.items():
            played = (section, name) in used and isinstance(tasks, env.settings.plays)
            units, whose = (own, f"backend {env.backend}") if played else (of_any, "any backend")
            legend = ", ".join(f"{symbol} ({unit})" for symbol, unit in units.items())
            for path, symbol in tasks.symbols:
                if symbol not in units:
                    message = f"no unit type of {whose} has symbol {symbol!r}; there are {legend}"
                    problems.append(Broken((section, name, *path), message, symbol))
    return problems


def _task_set_rules(config: "Config") -> list[Broken]:
    """Sets have other names than a problem's own tasks, and suit the problems of the study."""
    problems = []
    for name, tasks in ((TRAINED, "a problem's own tasks"), (UNSEEN, "all task sets together")):
        if name in config.task_sets:
            message = f"{name} stands for {tasks} in the results: choose another name"
            problems.append(Broken(("task_sets", name), message, name))
    for i, name in enumerate(config.evaluate.task_sets):
        path = ("evaluate", "task_sets", i)
        if name not in config.task_sets:
            problems.append(unknown(path, "task set", name, config.task_sets))
            continue
        if isinstance(config.task_sets[name], config.env.settings.plays):
            for problem in config.study.problems:
                if problem in config.problems:
                    problems += _unsuitable(config, path, name, problem)
    return problems


def _unsuitable(config: "Config", path: KeyPath, name: str, problem: str) -> list[Broken]:
    """The first of a task set that no environment of a problem can have."""
    task_set, trained = config.task_sets[name], config.problems[problem]
    units = config.env.settings.units
    # Unknown units are told of elsewhere.
    found = trained.unplayable(task_set) if all(s in units for _, s in task_set.symbols) else None
    if found is None:
        return []
    where, reason = found
    message = f"does not suit problem {problem!r}: {reason}; leave the set out, or change it"
    others = (("task_sets", name, *where), ("problems", problem, trained.told_by))
    return [Broken(path, message, name, others=others)]


def _representation_rules(config: "Config") -> list[Broken]:
    """A codebook and a clustering must have room for the classes; one problem each is enough."""
    problems = []
    fewest = config.cluster.min_trajectories
    used = {
        config.variants[v].representation for v in config.study.variants if v in config.variants
    }
    for name, rep in config.representations.items():
        path: KeyPath = ("representations", name)
        if rep.embedding == "quantised" and rep.n_classes > rep.n_codes:
            problems.append(
                Broken(
                    (*path, "n_classes"),
                    f"class count larger than the codebook: n_classes ({rep.n_classes}) must "
                    f"not be larger than n_codes ({rep.n_codes})",
                    rep.n_classes,
                    others=((*path, "n_codes"),),
                )
            )
        elif name in used and rep.n_classes > fewest:
            problems.append(
                Broken(
                    (*path, "n_classes"),
                    f"n_classes ({rep.n_classes}) must not be larger than "
                    f"cluster.min_trajectories ({fewest})",
                    rep.n_classes,
                    others=(("cluster", "min_trajectories"),),
                )
            )
    return problems


def _report_rules(config: "Config") -> list[Broken]:
    problems = [
        Broken(
            ("study",),
            f"{' on '.join(one)} and {' on '.join(other)} would have the same LaTeX macros, "
            f"\\{letters(*one)}..., in tables/numbers.tex: rename one of them",
            config.study.name,
        )
        for one, other in clashing_names(config)
    ]
    others: tuple[KeyPath, ...] = (("evaluate", "policies"),)
    for section, policy in (("figures", config.figures.policy), ("tables", config.tables.policy)):
        if policy not in config.evaluate.policies:
            message = f"{policy!r} is not among evaluate.policies"
            problems.append(Broken((section, "policy"), message, policy, others=others))
    return problems


def _fallback_rules(config: "Config") -> list[Broken]:
    """Some variant of the study can fall back on playing without a class."""
    score = config.evaluate.fallback.score
    try:
        known = [name for name in config.study.variants if name in config.variants]
        if score == "none" or any(map(config.drops_class, known)):
            return []
    except ValidationError:  # of a variant's overrides, which is told of elsewhere
        return []
    message = (
        "has no effect, as no variant of the study learns to play without a class: set "
        "class_representation.dropout of one with classes above 0, or score to none"
    )
    others: tuple[KeyPath, ...] = (
        ("train", "class_representation", "dropout"),
        ("study", "variants"),
    )
    return [Broken(("evaluate", "fallback", "score"), message, score, others=others)]


def _variant_rules(config: "Config", name: str, variant: "Variant") -> list[Broken]:
    used = variant.representation
    if used is None or used in config.representations:
        return []
    path = ("variants", name, "representation")
    return [unknown(path, "representation", used, config.representations)]


def _override_rules(
    config: "Config", name: str, variant: "Variant", train: "Train"
) -> list[Broken]:
    """Overrides of `variant` that its merged section `train` does not read."""
    if variant.representation is None:
        representation = None
    elif variant.representation in config.representations:
        representation = config.representations[variant.representation]
    else:
        return []
    return [
        Broken(
            ("variants", name, "train", *key),
            f"{'.'.join(key)} has no effect in a variant with {reason}: remove it",
            value_at(variant.train, key),
        )
        for key, reason in unused_train_keys(variant, representation, train)
        if has_path(variant.train, key)
    ]


def _clustering_rules(
    config: "Config", name: str, variant: "Variant", train: "Train"
) -> list[Broken]:
    """Training must be able to cluster again: hold enough trajectories, and last long enough."""
    if variant.representation is None:
        return []

    def place(*key: str) -> KeyPath:
        own = ("variants", name) if has_path(variant.train, key) else ()
        return (*own, "train", *key)

    problems = []
    fewest = config.cluster.min_trajectories
    if fewest > train.buffer_size:
        buffer = place("buffer_size")
        message = (
            f"min_trajectories ({fewest}) must not be larger than {'.'.join(map(str, buffer))} "
            f"({train.buffer_size}), or training never clusters again"
        )
        problems.append(Broken(("cluster", "min_trajectories"), message, fewest, others=(buffer,)))
    first = train.clustering.first_env_steps
    if first > train.env_steps:
        steps = place("env_steps")
        message = (
            f"first_env_steps ({first}) must not be larger than {'.'.join(map(str, steps))} "
            f"({train.env_steps}), or training ends before it clusters again"
        )
        path = place("clustering", "first_env_steps")
        problems.append(Broken(path, message, first, others=(steps,)))
    return problems


def _collect_rules(config: "Config") -> list[Broken]:
    """Episodes must end, and the random ones must leave steps to train the baseline on.

    An episode has at most L = `Env.episode_limit` steps. So after r L steps of each of n_envs
    environments at least r n_envs episodes have ended.
    """
    collect, limit = config.collect, config.env.episode_limit
    one_each = collect.n_envs * limit
    others: tuple[KeyPath, ...] = (
        ("collect", "n_envs"),
        ("env", config.env.backend, "max_steps"),
    )
    if collect.env_steps < one_each:
        message = (
            f"env_steps must be at least n_envs x {limit} = {one_each}, as an episode may have "
            f"{limit} env steps, or no episode need end"
        )
        return [Broken(("collect", "env_steps"), message, collect.env_steps, others=others)]
    longest = -(-collect.random_episodes // collect.n_envs) * one_each
    if longest < collect.env_steps:
        return []
    message = (
        f"{collect.random_episodes} random episodes of up to {limit} env steps in "
        f"{collect.n_envs} environments may take {longest} env steps, which must be less than "
        f"env_steps ({collect.env_steps}), or none are left to train the baseline"
    )
    return [
        Broken(
            ("collect", "random_episodes"),
            message,
            collect.random_episodes,
            others=(("collect", "env_steps"), *others),
        )
    ]
