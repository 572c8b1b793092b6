"""The rules between sections of the configuration."""

from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from trama.config.trees import KeyPath, has_path, value_at
from trama.config.validation import Broken, nested, unknown

if TYPE_CHECKING:
    from trama.config.model import Config, Representation, Train, Variant


def broken_relations(config: "Config") -> tuple[list[Broken], list[InitErrorDetails]]:
    """The rules between sections that `config` breaks, and the errors in variants' overrides."""
    problems = [
        *_study_rules(config),
        *_problem_rules(config),
        *_representation_rules(config),
        *_report_rules(config),
    ]
    rarely_clustered: list[Broken] = []
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
                rarely_clustered += _buffer_rules(config, name, variant, train)
    # Variants that share section train share the problem.
    return problems + list(dict.fromkeys(rarely_clustered)), overrides


def unused_train_keys(
    variant: "Variant", representation: "Representation | None", kind: str
) -> list[tuple[tuple[str, ...], str]]:
    """Key paths of section train that have no effect, each with the reason in words.

    `representation` is the variant's (None without one), `kind` its class_representation.kind.
    """
    unused: list[tuple[tuple[str, ...], str]] = [
        ((other,), f"mixer {variant.mixer}")
        for other in ("qmix", "qplex")
        if other != variant.mixer
    ]
    if not variant.has_classes:
        class_sections = ("predictor", "class_representation", "vqvae_updates", "clustering")
        return unused + [((key,), "no trajectory classes") for key in class_sections]
    if representation is None:
        unused += [((key,), "labels true_task") for key in ("vqvae_updates", "clustering")]
    elif representation.embedding == "mean_state":
        unused.append((("vqvae_updates",), "embedding mean_state"))
    if kind == "one_hot":
        unused += [
            (("class_representation", key), "kind one_hot") for key in ("hidden_size", "size")
        ]
    return unused


def _study_rules(config: "Config") -> list[Broken]:
    return [
        unknown(("study", f"{kind}s", i), kind, name, definitions)
        for kind, names, definitions in (
            ("problem", config.study.problems, config.problems),
            ("variant", config.study.variants, config.variants),
        )
        for i, name in enumerate(names)
        if name not in definitions
    ]


def _problem_rules(config: "Config") -> list[Broken]:
    symbols = {unit.symbol: name for name, unit in config.env.roster.items()}
    legend = ", ".join(f"{symbol} ({name})" for symbol, name in symbols.items())
    return [
        Broken(
            ("problems", name, "units", i),
            f"no unit type of env.roster has symbol {symbol!r}; there are {legend}",
            units,
        )
        for name, problem in config.problems.items()
        for i, units in enumerate(problem.units)
        for symbol in problem.teams[i]
        if symbol not in symbols
    ]


def _representation_rules(config: "Config") -> list[Broken]:
    """A codebook and a clustering must have room for the classes; one problem each is enough."""
    problems = []
    fewest = config.cluster.min_trajectories
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
        elif rep.n_classes > fewest:
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
    policy = config.tables.policy
    if policy in config.evaluate.policies:
        return []
    message = f"{policy!r} is not among evaluate.policies"
    return [Broken(("tables", "policy"), message, policy, others=(("evaluate", "policies"),))]


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
        for key, reason in unused_train_keys(
            variant, representation, train.class_representation.kind
        )
        if has_path(variant.train, key)
    ]


def _buffer_rules(config: "Config", name: str, variant: "Variant", train: "Train") -> list[Broken]:
    """The buffer must be able to hold the trajectories that a re-clustering waits for."""
    fewest = config.cluster.min_trajectories
    if variant.representation is None or fewest <= train.buffer_size:
        return []
    own = ("variants", name) if "buffer_size" in variant.train else ()
    buffer = (*own, "train", "buffer_size")
    message = (
        f"min_trajectories ({fewest}) must not be larger than {'.'.join(buffer)} "
        f"({train.buffer_size}), or training never clusters again"
    )
    return [Broken(("cluster", "min_trajectories"), message, fewest, others=(buffer,))]
