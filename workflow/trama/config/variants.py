"""What the study's variants are made of, for tables: hyperparameters, and what they change."""

from typing import Any

from pydantic import BaseModel

from trama.config.backends import Env
from trama.config.describe import fields_of, published
from trama.config.model import (
    Cluster,
    Collect,
    Config,
    Evaluate,
    Pretrain,
    Representation,
    Train,
    Variant,
)
from trama.config.params import (
    Params,
    cluster_params,
    collect_params,
    pretrain_params,
    train_params,
)
from trama.config.trees import leaves

_SECTIONS: dict[str, type[BaseModel]] = {
    "env": Env,
    "collect": Collect,
    "representation": Representation,
    "pretrain": Pretrain,
    "cluster": Cluster,
    "variant": Variant,
    "train": Train,
    "evaluate": Evaluate,
}


def hyperparameters(config: Config) -> list[dict[str, Any]]:
    """The keys that results of the study's variants depend on, by section, with their values.

    The tasks (problems, task sets, unit types) and the seeds are none.

    Returns:
        For each key: `section`, of the configuration or a definition (`variant`,
        `representation`); `key` within it; `published`, the published value in words or None; and
        `values`, in words, of each variant whose jobs depend on the key.
    """
    used = {name: _used(config, name) for name in config.study.variants}
    found = []
    for section, model in _SECTIONS.items():
        for key, field in fields_of(model, nested=True):
            values = {
                n: _words(own[section, key]) for n, own in used.items() if (section, key) in own
            }
            if values:
                row = {"section": section, "key": key, "published": published(field)}
                found.append({**row, "values": values})
    return found


def changes(config: Config) -> dict[str, list[str]]:
    """What each variant of the study changes of `Config.reference`, in words; of it, nothing."""
    used = {name: _used(config, name) for name in config.study.variants}
    return {
        name: [
            *_changed_classes(config, name),
            *(
                f"{key} {_words(value)} instead of {_words(used[config.reference][section, key])}"
                for (section, key), value in own.items()
                if section in ("representation", "variant", "train") and key != "labels"
                if used[config.reference].get((section, key), value) != value
            ),
        ]
        for name, own in used.items()
    }


def _changed_classes(config: Config, name: str) -> list[str]:
    """What a variant changes of the classes of the reference, but the keys of a representation."""
    own, other = (_classes(config.variants[v]) for v in (name, config.reference))
    if own == other:
        return []
    if own is None:
        return ["no trajectory classes"]
    return [f"{own} as classes" + (f" instead of {other}" if other else "")]


def _classes(variant: Variant) -> str | None:
    """What the trajectory classes of a variant are, in words."""
    if variant.representation is not None:
        return f"clusters of {variant.representation}"
    return "true tasks" if variant.has_classes else None


def _used(config: Config, name: str) -> dict[tuple[str, str], Any]:
    """Value of each section and key that the results of a variant depend on.

    Those of section env may differ between problems (see `_used_env`); all others are the same
    for all problems and seeds.
    """
    of = (config, config.study.problems[0])
    seed = config.study.seeds[0]
    train = train_params(*of, name, seed)
    # The budget, whatever part of it was spent in stage collect.
    train["train"]["env_steps"] = config.train_for(name).env_steps
    if any(config.train_for(each).mixture_shift.amount for each in config.study.variants):
        # Of those without a shift, the 0 is what tells them from the others.
        train["train"].setdefault("mixture_shift", {"amount": 0.0})
    sections: dict[str, Params | None] = {
        "env": _used_env(config),
        "collect": collect_params(*of, seed)["collect"],
        "variant": {key: value for key, value in train["variant"].items() if value is not None},
        "train": train["train"],
        "evaluate": {"episodes": config.evaluate.episodes, "policies": [*config.evaluate.policies]},
        "representation": train["representation"],
    }
    representation = train["representation_name"]
    if representation is not None:
        first = cluster_params(*of, representation, seed)["cluster"]
        sections["cluster"] = {**first, **train["cluster"]}
        if config.representations[representation].has_codebook:
            sections["pretrain"] = pretrain_params(*of, representation, seed)["pretrain"]
    return {
        (section, key): value
        for section, keys in sections.items()
        for key, value in leaves(keys or {})
    }


def _used_env(config: Config) -> Params:
    """Values of keys of section env; in words, with their problems, where these differ."""
    seed = config.study.seeds[0]
    by_problem = {
        name: dict(leaves(collect_params(config, name, seed)["env"]))
        for name in config.study.problems
    }
    found: Params = {}
    for key in dict.fromkeys(key for own in by_problem.values() for key in own):
        problems: dict[str, list[str]] = {}
        for name, own in by_problem.items():
            if key in own:
                problems.setdefault(_words(own[key]), []).append(name)
        words = [f"{value} on {', '.join(names)}" for value, names in problems.items()]
        on_all = list(by_problem) in problems.values()
        found[key] = next(iter(problems)) if on_all else "; ".join(words)
    return found


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(_words, value)) or "none"
    if isinstance(value, float) and 0 < abs(value) < 1e-2:
        mantissa, exponent = f"{value:e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:g}" if isinstance(value, float) else str(value)
