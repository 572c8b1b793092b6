"""What each table depends on, and nothing else: the `params` of its rule.

They are plain mappings as those of `trama.config.params`.
"""

from collections.abc import Collection, Sequence
from typing import Any

from pydantic import Field

from trama.config.model import Config, Fallback, Tables
from trama.config.params import (
    Names,
    Params,
    ReportParams,
    baselines,
    compared,
    of_all,
    of_study,
    report_params,
    with_classes,
    with_clusterings,
)
from trama.config.relations import KEYS_OF_CLASSES, KEYS_OF_CLUSTERS
from trama.config.sections import Name, Section, Seed
from trama.config.variants import changes, hyperparameters


class Hyperparameter(Section):
    """A key of the configuration, as `trama.config.variants.hyperparameters` describes it."""

    section: str
    key: str
    published: str | None
    values: dict[Name, str]


class TableParams(ReportParams):
    """Params of a table; those that it does not read are left out.

    Attributes:
        tables: of that section, the keys that it reads.
        study_seed: what its bootstraps derive their seed from.
        given_classes: kinds of classes that agents are given, in the order in which they are shown.
        fallback: when agents use no class.
        task_sets: sets of tasks beside the trained one, in the order in which they are shown.
        baselines: the variant over which each variant with classes has a gain; of an experiment,
            what a name is set beside, where that is not the first one.
        with_predictor: variants with a class predictor, where others are shown too.
        without_classes: variants without a class predictor, which classes are to be better than.
        mixers: of each of those, and of the reference.
        controls: further ones that learn from collected trajectories and start and learn as the
            reference does.
        oracles: variants that learn true tasks, and start and learn as the reference does.
        started_anew: variants that differ from the reference in that their clusterings start anew.
        initialisations: how the clusterings of each variant that has some begin, as the key
            train.clustering.initialisation has it.
        reference: the variant that the others are compared with.
        changes: what each variant changes of the reference, in words.
        hyperparameters: keys of the configuration with their values.
        problems: of an experiment, in the order in which they are shown.
        question, measures, n_combinations: of an experiment; the last one of each problem's units.
        start_alike: of an experiment, the variants whose runs of a seed go on from one learner.
    """

    tables: Tables
    study_seed: Seed = 0
    given_classes: Names = ()
    fallback: Fallback = Fallback()
    task_sets: Names = ()
    baselines: dict[Name, Name] = Field(default={})
    with_predictor: Names = ()
    without_classes: Names = ()
    mixers: dict[Name, str] = Field(default={})
    controls: Names = ()
    oracles: Names = ()
    started_anew: Names = ()
    initialisations: dict[Name, str] = Field(default={})
    reference: Name | None = None
    changes: dict[Name, list[str]] = Field(default={})
    hyperparameters: list[Hyperparameter] = Field(default=[])
    problems: Names = ()
    question: str = ""
    measures: Names = ()
    n_combinations: dict[Name, int | None] = Field(default={})
    start_alike: Names = ()


def results_params(config: Config, problem: str) -> Params:
    """Params of the table of results on one problem."""
    names = config.study.variants
    upstream = of_all("evaluate", config, problem, names)
    return _table("results", config, upstream, names, {"decimals", "policy"}, **_bootstrap(config))


def ood_params(config: Config, problem: str) -> Params:
    """Params of the tables of tasks that were not trained on, on one problem."""
    names = config.study.variants
    upstream = of_all("evaluate", config, problem, names)
    ood = {**_bootstrap(config), **_ood(config)}
    return _table("ood", config, upstream, names, {"decimals", "policy"}, **ood)


def clusters_params(config: Config, problem: str) -> Params:
    """Params of the table of clusters on one problem."""
    names = config.used_representations
    upstream = of_all("cluster", config, problem, names)
    return _table("clusters", config, upstream, names, {"decimals"})


def predictor_params(config: Config, problem: str) -> Params:
    """Params of the table of the predictor on one problem."""
    names = with_classes(config)
    upstream = of_all("train", config, problem, names)
    return _table("predictor", config, upstream, names, {"decimals"}, **_bootstrap(config))


def predictor_alone_params(config: Config, problem: str) -> Params:
    """Params of the table of the predictor alone on one problem."""
    names = config.used_representations
    upstream = of_all("predict", config, problem, names)
    return _table("predictor_alone", config, upstream, names, {"decimals"}, **_bootstrap(config))


def class_use_params(config: Config, problem: str) -> Params:
    """Params of the table of what policies make of their class, on one problem."""
    names = with_classes(config)
    upstream = of_all("evaluate", config, problem, names)
    more = {**_bootstrap(config), **_given_classes(config)}
    return _table("class_use", config, upstream, names, {"decimals", "policy"}, **more)


def novelty_params(config: Config, problem: str) -> Params:
    """Params of the table of the detection of tasks that were not trained on, on one problem."""
    names = with_classes(config)
    upstream = of_all("evaluate", config, problem, names)
    more = {**_bootstrap(config), "task_sets": list(config.evaluate.task_sets)}
    return _table("novelty", config, upstream, names, {"decimals", "policy"}, **more)


def fallback_params(config: Config, problem: str) -> Params:
    """Params of the table of what falling back on no class brings, on one problem."""
    names = with_fallback(config)
    upstream = of_all("evaluate", config, problem, beside_fallback(config))
    more = {
        **_bootstrap(config),
        "task_sets": list(config.evaluate.task_sets),
        "baselines": {n: over for n, over in baselines(config).items() if n in names},
        "fallback": config.evaluate.fallback.model_dump(mode="json"),
    }
    return _table("fallback", config, upstream, names, {"decimals", "policy"}, **more)


def with_fallback(config: Config) -> list[str]:
    """The study's variants that are also evaluated with agents that may use no class."""
    return [name for name in config.study.variants if config.falls_back(name)]


def beside_fallback(config: Config) -> list[str]:
    """The study's variants with a fallback, and the baselines that they are compared with."""
    names, over = with_fallback(config), baselines(config)
    return list(dict.fromkeys([*names, *(over[name] for name in names if name in over)]))


def label_consistency_params(config: Config, problem: str) -> Params:
    """Params of the table of label consistency on one problem."""
    names = with_clusterings(config)
    upstream = of_all("train", config, problem, names)
    more = {**_bootstrap(config), **_initialisations(config)}
    return _table("label_consistency", config, upstream, names, {"decimals"}, **more)


def win_rates_params(config: Config) -> Params:
    """Params of the table of win rates by problem."""
    names = config.study.variants
    upstream = of_study(config, train=names, evaluate=names)
    more = {**_bootstrap(config), "baselines": baselines(config)}
    return _table("win_rates", config, upstream, names, {"decimals", "policy"}, **more)


def ablations_params(config: Config) -> Params:
    """Params of the table of all variants beside the reference."""
    names = config.study.variants
    upstream = of_study(config, evaluate=names)
    compared = {"reference": config.reference, "changes": changes(config)}
    keys = {"decimals", "policy"}
    return _table("ablations", config, upstream, names, keys, **_bootstrap(config), **compared)


def claims_params(config: Config) -> Params:
    """Params of the table of the paper's claims."""
    names, with_predictor = config.study.variants, with_classes(config)
    upstream = of_study(config, train=with_predictor, evaluate=names)
    without = [name for name in names if name not in with_predictor]
    reference = config.reference
    # The paper has no controls that go on from stage collect.
    collected = [name for name in without if config.learns_from_collected(name)]
    without = [name for name in without if name not in collected]
    more = {
        **_bootstrap(config),
        "task_sets": list(config.evaluate.task_sets),
        "reference": reference,
        "without_classes": without,
        "mixers": {name: config.variants[name].mixer for name in (*without, reference)},
        "controls": [
            name for name in collected if _alike(config, name, reference, but_for=KEYS_OF_CLASSES)
        ],
        "oracles": [
            name
            for name in with_predictor
            if config.variants[name].labels == "true_task"
            and name != reference
            and _alike(config, name, reference, but_for=KEYS_OF_CLUSTERS)
        ],
        "started_anew": _started_anew(config, reference),
        **_initialisations(config),
        **_given_classes(config),
    }
    return _table("claims", config, upstream, names, {"decimals", "policy"}, **more)


def _started_anew(config: Config, reference: str) -> list[str]:
    """Variants that differ from the reference in that their clusterings start anew, and its do not.

    Those that are matched with old labels afterwards are none.
    """
    own = config.train_for(reference).clustering
    anew = own.model_copy(update={"initialisation": "random"})
    return [
        name
        for name in with_clusterings(config)
        if config.train_for(name).clustering == anew != own
        and config.variants[name].representation == config.variants[reference].representation
        and _alike(config, name, reference, but_for=("clustering",))
    ]


def _alike(config: Config, name: str, other: str, but_for: Collection[str]) -> bool:
    """Whether two variants have the same mixer, start and learning settings but for some keys."""
    return config.start_of(name) == config.start_of(other) and config.learn_alike(
        name, other, but_for
    )


def hyperparameters_params(config: Config) -> Params:
    """Params of the table of hyperparameters."""
    names = config.study.variants
    upstream = of_study(config, evaluate=names)
    values = {"hyperparameters": hyperparameters(config)}
    return _table("hyperparameters", config, upstream, names, set(), **values)


def compute_params(config: Config) -> Params:
    """Params of the table of wall times and memory."""
    names = config.study.variants
    representations = config.used_representations
    upstream = of_study(config, cluster=representations, train=names, evaluate=names)
    return _table("compute", config, upstream, names, set())


def cost_params(config: Config) -> Params:
    """Params of the table of what the parts of a training cost."""
    names = config.study.variants
    return _table("cost", config, of_study(config, train=names), names, set())


def numbers_params(config: Config) -> Params:
    """Params of the study's numbers as LaTeX macros."""
    names = config.study.variants
    representations, with_predictor = config.used_representations, with_classes(config)
    upstream = of_study(config, cluster=representations, train=with_predictor, evaluate=names)
    more = {**_bootstrap(config), **_ood(config), "reference": config.reference}
    if with_predictor:
        more |= _given_classes(config)
    return _table("numbers", config, upstream, names, {"decimals", "policy"}, **more)


def findings_params(config: Config) -> Params:
    """Params of the study's main findings."""
    names = config.study.variants
    representations = config.used_representations
    upstream = of_study(config, cluster=representations, train=names, evaluate=names)
    more = {**_bootstrap(config), **_ood(config), "reference": config.reference}
    more["with_predictor"] = with_classes(config)
    return _table("findings", config, upstream, names, {"decimals", "policy"}, **more)


def experiment_params(config: Config, experiment: str) -> Params:
    """Params of the table of an experiment."""
    names = config.experiments[experiment].names
    study = config.with_study_of(experiment)
    upstream, more = compared(config, experiment)
    keys = {"decimals", "policy"}
    variants = config.experiments[experiment].variants
    more["baselines"] = config.experiments[experiment].baselines
    more["start_alike"] = [name for name in variants if config.start_of(name) == "collect"]
    return _table("experiment", study, upstream, names, keys, **_bootstrap(config), **more)


def _table(
    module: str,
    config: Config,
    upstream: dict[str, str],
    names: Sequence[str],
    keys: set[str],
    **more: Any,
) -> Params:
    """Params of a table in that module of `trama.reporting.tables`, with `keys` of its section."""
    return {**report_params("tables", config, upstream, names, keys, module), **more}


def _bootstrap(config: Config) -> Params:
    return {"study_seed": config.study.seed}


def _initialisations(config: Config) -> Params:
    names = with_clusterings(config)
    return {"initialisations": {n: config.train_for(n).clustering.initialisation for n in names}}


def _given_classes(config: Config) -> Params:
    return {"given_classes": list(config.evaluate.given_classes)}


def _ood(config: Config) -> Params:
    """What the comparison on tasks that were not trained on needs."""
    return {"task_sets": list(config.evaluate.task_sets), "baselines": baselines(config)}
