"""The rules between sections of the configuration."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from trama.config.experiments import (
    OF_CLASS_PARTS,
    OF_CLUSTER_PARTS,
    OF_CLUSTERS,
    OF_FALLBACKS,
    OF_GIVEN,
    OF_LABELS,
    OF_NOVELTY,
    OF_PREDICTIONS,
    OF_VQVAE_PARTS,
)
from trama.config.macros import clashing_names, letters
from trama.config.problems import OOD, TRAINED
from trama.config.trees import KeyPath, deep_merge, has_path, value_at
from trama.config.validation import Broken, is_rule, nested, unknown

if TYPE_CHECKING:
    from trama.config.backends import Env
    from trama.config.model import RL, Config, Representation, Train, Variant
    from trama.config.problems import Problem, Tasks

_OF_ALL_PROBLEMS: tuple[KeyPath, ...] = (("backend",), ("device",), ("smacv2", "patience"))
"""Keys of section env that no problem can override."""

KEYS_OF_CLUSTERS = ("warm_start", "vqvae_updates", "clustering")
"""Keys of section train that only variants with a representation read."""
KEYS_OF_CLASSES = ("predictor", "class_representation", *KEYS_OF_CLUSTERS)
"""Those that only variants with classes read."""


def broken_relations(config: "Config") -> tuple[list[Broken], list[InitErrorDetails]]:
    """The rules between sections that `config` breaks, and the errors in definitions' overrides."""
    envs, env_problems, overrides = _merged_envs(config)
    problems = [
        *_reserved_rules(config),
        *unknown_names("problem", config.study.problems, config.problems),
        *unknown_names("variant", config.study.variants, config.variants),
        *env_problems,
        *_collect_rules(config, envs),
        *_kind_rules(config, envs),
        *_unit_rules(config, envs),
        *_task_set_rules(config, envs),
        *_representation_rules(config),
        *_experiment_rules(config),
        *_report_rules(config),
    ]
    of_trainings: list[Broken] = []
    for name, variant in config.variants.items():
        problems += _variant_rules(config, name, variant)
        trained = name in config.study.variants
        try:
            train = config.train_for(variant)
        except ValidationError as error:
            # What nobody trains need not suit the rest of section train, but be keys and values.
            found = nested(("variants", name, "train"), error)
            overrides += [each for each in found if trained or not is_rule(each)]
        else:
            unread = _override_rules(config, name, variant, train)
            if unread and not trained:
                # Nor need section train read all of its overrides, but its defaults do.
                with suppress(ValidationError):
                    defaults = type(config.train).model_validate(variant.train)
                    unread = _override_rules(config, name, variant, defaults)
            problems += unread
            if trained:
                of_trainings += _own_steps_rules(config, name, variant, train)
                of_trainings += _clustering_rules(config, name, variant, train)
                of_trainings += _mixture_rules(config, name, variant, train)
    # Variants that share section train share the problem.
    return problems + list(dict.fromkeys(of_trainings)), overrides


def _reserved_rules(config: "Config") -> list[Broken]:
    """Figures and tables of a problem are called after it, others `study_...`, `experiment_...`."""
    return [
        Broken(
            ("problems", name),
            f"figures and tables that are of no problem are called {name}_...: choose another name",
            name,
        )
        for name in ("study", "experiment")
        if name in config.problems
    ]


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
    if variant.mixer == "vdn":
        unused.append((("mixer_states",), "mixer vdn"))
    if not variant.has_classes:
        return unused + [((key,), "no trajectory classes") for key in KEYS_OF_CLASSES]
    if representation is None:
        unused += [((key,), "labels true_task") for key in KEYS_OF_CLUSTERS]
    elif not representation.has_codebook:
        unused.append((("vqvae_updates",), f"embedding {representation.embedding}"))
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


def _merged_envs(
    config: "Config",
) -> tuple[dict[str, "Env"], list[Broken], list[InitErrorDetails]]:
    """Section env with each problem's overrides, the rules that these break, and their errors.

    There is none of a problem whose overrides cannot be merged.
    """
    envs: dict[str, Env] = {}
    problems: list[Broken] = []
    errors: list[InitErrorDetails] = []
    for name, problem in config.problems.items():
        place = ("problems", name, "env")
        refused = [key for key in _OF_ALL_PROBLEMS if has_path(problem.env, key)]
        problems += [
            Broken(
                (*place, *key),
                f"{key[-1]} is the same for all problems: set it in section env, and remove it "
                "here",
                value_at(problem.env, key),
                others=(("env", *key),),
            )
            for key in refused
        ]
        if refused:
            continue
        try:
            envs[name] = config.env_for(problem)
        except ValidationError as error:
            errors += nested(place, error)
        else:
            unread = _env_override_rules(config, name, problem, envs[name])
            if unread and name not in config.study.problems:
                # What nobody plays need not suit section env, but its defaults.
                kind = type(config.env)
                with suppress(ValidationError):
                    defaults = kind.model_validate(deep_merge(kind().model_dump(), problem.env))
                    unread = _env_override_rules(config, name, problem, defaults)
            problems += unread
    return envs, problems, errors


def _env_override_rules(
    config: "Config", name: str, problem: "Problem", env: "Env"
) -> list[Broken]:
    """Overrides of `problem` that no environment of it reads."""
    place = ("problems", name, "env")
    unread: list[tuple[KeyPath, str]] = []
    for backend, settings in env.backends.items():
        if not isinstance(problem, settings.plays):
            unread.append(((backend,), f"{problem.kind}, which backend {backend} does not play"))
        else:
            # What is idle may have been turned off here.
            keys = sorted(settings.unused_keys(problem) - settings.idle_keys)
            unread += [((backend, *key), "this problem") for key in keys]
    problems = [
        Broken(
            (*place, *key),
            f"{'.'.join(map(str, key))} has no effect on {reason}: remove it",
            value_at(problem.env, key),
        )
        for key, reason in unread
        if has_path(problem.env, key)
    ]
    in_study = name in config.study.problems
    if problem.env and in_study and env.backend not in problem.env and not problems:
        message = (
            f"changes nothing on backend {env.backend}: give keys of {env.backend}, or leave env "
            "out"
        )
        problems.append(Broken(place, message, problem.env, others=(("env", "backend"),)))
    return problems


def _kind_rules(config: "Config", envs: Mapping[str, "Env"]) -> list[Broken]:
    """The backend plays the problems of the study, and the task sets that it evaluates on."""
    kinds = " and ".join(kind.kind for kind in config.env.settings.plays)
    problems = []
    for path, name, tasks in _used(config):
        env = envs.get(name, config.env) if path[1] == "problems" else config.env
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


def _unit_rules(config: "Config", envs: Mapping[str, "Env"]) -> list[Broken]:
    """The chosen backend has the units that the study uses; some backend has those of the rest.

    Task sets may name what is a unit on one problem alone.
    """
    backend, plays = config.env.backend, config.env.settings.plays
    used = {(path[1], name) for path, name, _ in _used(config)}
    sections: dict[str, Mapping[str, Tasks]] = {
        "problems": config.problems,
        "task_sets": config.task_sets,
    }
    problems = []
    for section, definitions in sections.items():
        for name, tasks in definitions.items():
            played = (section, name) in used and isinstance(tasks, plays)
            if section == "task_sets":
                where = _study_envs(config, envs) if played else [config.env, *envs.values()]
            else:
                where = [envs[name]] if name in envs else [config.env]
            units = _units(where, of_any=not played)
            whose = f"backend {backend}" if played else "any backend"
            legend = ", ".join(f"{symbol} ({unit})" for symbol, unit in units.items())
            for path, symbol in tasks.symbols:
                if symbol not in units:
                    message = f"no unit type of {whose} has symbol {symbol!r}; there are {legend}"
                    problems.append(Broken((section, name, *path), message, symbol))
    return problems


def _study_envs(config: "Config", envs: Mapping[str, "Env"]) -> list["Env"]:
    """Section env of the study's problems, as far as there are any."""
    return [envs[name] for name in config.study.problems if name in envs] or [config.env]


def _units(envs: Iterable["Env"], *, of_any: bool) -> dict[str, str]:
    """Names of the units of the chosen backend, or of any, by their symbols."""
    return {
        symbol: name
        for env in envs
        for backend in (env.backends.values() if of_any else [env.settings])
        for symbol, name in backend.units.items()
    }


def _task_set_rules(config: "Config", envs: Mapping[str, "Env"]) -> list[Broken]:
    """Sets have other names than a problem's own tasks, and suit the problems of the study."""
    problems = []
    for name, tasks in ((TRAINED, "a problem's own tasks"), (OOD, "all task sets together")):
        if name in config.task_sets:
            message = f"{name} stands for {tasks} in the results: choose another name"
            problems.append(Broken(("task_sets", name), message, name))
    for i, name in enumerate(config.evaluate.task_sets):
        path = ("evaluate", "task_sets", i)
        if name not in config.task_sets:
            problems.append(unknown(path, "task set", name, config.task_sets))
            continue
        task_set = config.task_sets[name]
        trained = [config.problems[each] for each in config.study.problems if each in envs]
        if trained and all(problem.trains_all_of(task_set) for problem in trained):
            message = "the problems of the study train on all of its tasks: leave the set out"
            problems.append(Broken(path, message, name, others=(("task_sets", name),)))
    return problems + _unsuitable_sets(config, envs)


def _unsuitable_sets(config: "Config", envs: Mapping[str, "Env"]) -> list[Broken]:
    """The task sets that no environment of a problem can have, told of at its first one."""
    units = _units(_study_envs(config, envs), of_any=False)
    unplayable: dict[str, dict[str, tuple[int, KeyPath, str]]] = {}
    for i, name in enumerate(config.evaluate.task_sets):
        task_set = config.task_sets.get(name)
        if not isinstance(task_set, config.env.settings.plays):
            continue
        if not all(symbol in units for _, symbol in task_set.symbols):
            continue  # unknown units are told of elsewhere
        for problem in (each for each in config.study.problems if each in envs):
            if found := config.problems[problem].unplayable(task_set):
                unplayable.setdefault(problem, {})[name] = i, *found
    every = {name for of_problem in unplayable.values() for name in of_problem}
    left = ", ".join(name for name in config.evaluate.task_sets if name not in every)
    problems = []
    for problem, of_problem in unplayable.items():
        (name, (i, where, reason)), *more = of_problem.items()
        message = f"does not suit problem {problem!r}: {reason}; leave the set out, or change it"
        if more:
            message = (
                f"does not suit problem {problem!r}: {reason}. Nor {'do' if more[1:] else 'does'} "
                f"{', '.join(other for other, _ in more)}: leave them out (evaluate.task_sets: "
                f"[{left}]), or change them"
            )
        told_by = config.problems[problem].told_by
        others = (("task_sets", name, *where), ("problems", problem, told_by))
        problems.append(Broken(("evaluate", "task_sets", i), message, name, others=others))
    return problems


def _representation_rules(config: "Config") -> list[Broken]:
    """A codebook and a clustering must have room for the classes; one problem each is enough."""
    problems = []
    fewest = config.cluster.min_trajectories
    used = {
        config.variants[v].representation for v in config.study.variants if v in config.variants
    }
    for name, rep in config.representations.items():
        path: KeyPath = ("representations", name)
        key = ("n_classes",) if rep.class_number is None else ("class_number", "most")
        number, called = rep.most_classes, ".".join(key)
        if rep.has_codebook and number > rep.n_codes:
            problems.append(
                Broken(
                    (*path, *key),
                    f"class count larger than the codebook: {called} ({number}) must "
                    f"not be larger than n_codes ({rep.n_codes})",
                    number,
                    others=((*path, "n_codes"),),
                )
            )
        elif name in used and number > fewest:
            problems.append(
                Broken(
                    (*path, *key),
                    f"{called} ({number}) must not be larger than "
                    f"cluster.min_trajectories ({fewest})",
                    number,
                    others=(("cluster", "min_trajectories"),),
                )
            )
    return problems


def _experiment_rules(config: "Config") -> list[Broken]:
    """What experiments name is defined."""
    definitions: dict[str, Iterable[str]] = {
        "problem": config.problems,
        "representation": config.representations,
        "variant": config.variants,
    }
    undefined = [
        unknown(("experiments", name, f"{kind}s", i), kind, used, known)
        for name, experiment in config.experiments.items()
        for kind, known in definitions.items()
        for i, used in enumerate(getattr(experiment, f"{kind}s"))
        if used not in known
    ]
    for name, experiment in config.experiments.items():
        kind = "variant" if experiment.variants else "representation"
        undefined += [
            unknown(("experiments", name, "baselines", each), kind, used, definitions[kind])
            for each, over in experiment.baselines.items()
            for used in (each, over)
            if used not in definitions[kind]
        ]
    return undefined


def unmeasured(config: "Config", name: str) -> list[Broken]:
    """Measures of an experiment that nothing it compares has, in its study `config`."""
    experiment = config.experiments[name]
    variants = [config.variants[each] for each in experiment.variants]
    named = [*experiment.representations, *(each.representation for each in variants)]
    compared = [config.representations[each] for each in named if each is not None]
    classes = any(each.has_classes for each in variants)
    codebooks = any(each.has_codebook for each in compared)
    ood = bool(config.evaluate.task_sets)
    fallback = any(map(config.falls_back, experiment.variants))
    given = {f"{kind}_win_rate" for kind in config.evaluate.given_classes}
    not_given = [measure for measure in OF_GIVEN if measure not in given]
    no_classes = "no variant of the experiment has trajectory classes"
    no_clusters = "no variant of the experiment clusters trajectories"
    no_codes = "nothing that the experiment compares has a codebook"
    no_sets = "evaluate.task_sets names no tasks that are not trained on"
    no_fallback = (
        "no variant of the experiment falls back: give one class_representation.dropout, and "
        "evaluate.fallback a score"
    )
    needs: tuple[tuple[Sequence[str], bool, str], ...] = (
        (("swap_actions", *OF_PREDICTIONS, *OF_NOVELTY, *OF_CLASS_PARTS), classes, no_classes),
        ((*OF_LABELS, *OF_CLUSTERS, *OF_CLUSTER_PARTS), bool(compared), no_clusters),
        (("codes_in_use", *OF_VQVAE_PARTS), codebooks, no_codes),
        (("ood_win_rate", "fallback_ood_win_rate", *OF_NOVELTY), ood, no_sets),
        (OF_FALLBACKS, fallback, no_fallback),
        (OF_GIVEN, classes, no_classes),
        (not_given, False, "evaluate.given_classes does not have this class"),
    )
    missing = {
        measure: reason for measures, there, reason in needs if not there for measure in measures
    }
    return [
        Broken(("experiments", name, "measures", i), f"{missing[measure]}: leave it out", measure)
        for i, measure in enumerate(experiment.measures)
        if measure in missing
    ]


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
            message = f"{policy!r} is not among evaluate.policies: name one that is"
            problems.append(Broken((section, "policy"), message, policy, others=others))
    return problems


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
        return _place_of_train(name, variant, *key)

    problems = []
    fewest = config.cluster.min_trajectories
    if fewest > train.buffer_size:
        buffer = place("buffer_size")
        message = (
            f"min_trajectories ({fewest}) must not be larger than {'.'.join(map(str, buffer))} "
            f"({train.buffer_size}), or training never clusters again"
        )
        problems.append(Broken(("cluster", "min_trajectories"), message, fewest, others=(buffer,)))
    first, steps = train.clustering.first_env_steps, place("env_steps")
    own = config.own_env_steps(name)
    of_training = f"{'.'.join(map(str, steps))} ({train.env_steps})"
    if own != train.env_steps:
        of_training += f" without collect.env_steps ({config.collect.env_steps})"
    if first > own:
        message = (
            f"first_env_steps ({first}) must not be larger than {of_training}, or training ends "
            "before it clusters again"
        )
        path = place("clustering", "first_env_steps")
        problems.append(Broken(path, message, first, others=(steps,)))
    return problems


def _own_steps_rules(
    config: "Config", name: str, variant: "Variant", train: "Train"
) -> list[Broken]:
    """A training that learns from the collected episodes has steps, and a test, of its own."""
    own = config.own_env_steps(name)
    if own >= train.test_interval or not config.learns_from_collected(name):
        return []
    path, collected = _place_of_train(name, variant, "env_steps"), ("collect", "env_steps")
    message = (
        f"env_steps has collect.env_steps ({config.collect.env_steps}) in it, as variant {name!r} "
        f"learns from the collected trajectories, and must be larger by at least "
        f"{'.'.join(map(str, _place_of_train(name, variant, 'test_interval')))} "
        f"({train.test_interval})"
    )
    return [Broken(path, message, train.env_steps, others=(collected,))]


def _mixture_rules(config: "Config", name: str, variant: "Variant", train: "Train") -> list[Broken]:
    """A mixture that shifts has tasks to shift between, and time to do so."""
    shift, amount = train.mixture_shift, train.mixture_shift.amount
    if not amount:
        return []
    path = _place_of_train(name, variant, "mixture_shift", "amount")
    problems = []
    own = config.own_env_steps(name)
    if shift.interval_env_steps >= own:
        message = (
            f"interval_env_steps ({shift.interval_env_steps}) must be less than the env steps of "
            f"the training itself ({own}), or the mixture never shifts"
        )
        interval = _place_of_train(name, variant, "mixture_shift", "interval_env_steps")
        steps = _place_of_train(name, variant, "env_steps")
        problems.append(Broken(interval, message, shift.interval_env_steps, others=(steps,)))
    return problems + [
        Broken(
            path,
            f"problem {problem!r} has one task, and a mixture shifts between several: set it to 0, "
            "or name other problems",
            amount,
            others=(("study", "problems", i),),
        )
        for i, problem in enumerate(config.study.problems)
        if problem in config.problems and config.problems[problem].n_tasks == 1
    ]


def _place_of_train(name: str, variant: "Variant", *key: str) -> KeyPath:
    """Where a key of section train is set for a variant."""
    own = ("variants", name) if has_path(variant.train, key) else ()
    return (*own, "train", *key)


def _collect_rules(config: "Config", envs: Mapping[str, "Env"]) -> list[Broken]:
    """Episodes must end, and the random ones must leave steps to train the baseline on."""
    key = (config.env.backend, "max_steps")
    limits: dict[KeyPath, int] = {}
    for name in config.study.problems:
        if name in envs:
            own = ("problems", name) if has_path(config.problems[name].env, key) else ()
            limits[*own, "env", *key] = envs[name].episode_limit
    found = [_too_few_steps(config, place, limit) for place, limit in limits.items()]
    return [rule for rules in found for rule in rules]


def _too_few_steps(config: "Config", max_steps: KeyPath, limit: int) -> list[Broken]:
    """The rule of stage collect where an episode has at most L = `limit` steps.

    After r L steps of each of n_envs environments at least r n_envs episodes have ended.
    `max_steps` is the place of the limit.
    """
    collect = config.collect
    one_each = collect.n_envs * limit
    others: tuple[KeyPath, ...] = (("collect", "n_envs"), max_steps)
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
