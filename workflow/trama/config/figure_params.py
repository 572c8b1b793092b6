"""What each figure depends on, and nothing else: the `params` of its rule.

They are plain mappings as those of `trama.config.params`.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from trama.config.model import Config, Figures
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
from trama.config.sections import Name, Seed


class FigureParams(ReportParams):
    """Params of a figure; those that it does not read are left out.

    Attributes:
        names: all variants of the study where they have their own looks, else those shown.
        figures: of that section, the keys that it reads.
        problems: in the order in which they are named.
        study_seed: what its bootstraps derive their seed from.
        task_sets: sets of tasks beside the trained one, in the order in which they are shown.
        baselines: the variant over which each variant with classes has a gain.
        reference: the variant that the others are compared with.
        representations: of each variant that starts from one.
        test_episodes: episodes of a test during the training of each variant.
        question: of an experiment.
        measures: of an experiment, in the order in which they are shown.
        n_combinations: of units, of each problem of an experiment.
    """

    figures: Figures
    problems: Names = ()
    study_seed: Seed = 0
    task_sets: Names = ()
    baselines: dict[Name, Name] = Field(default={})
    reference: Name | None = None
    representations: dict[Name, Name] = Field(default={})
    test_episodes: dict[Name, int] = Field(default={})
    question: str = ""
    measures: Names = ()
    n_combinations: dict[Name, int | None] = Field(default={})


def learning_curves_params(config: Config, problem: str) -> Params:
    """Params of the learning curves on one problem."""
    variants = config.study.variants
    upstream = of_all("train", config, problem, variants)
    episodes = {name: config.train_for(name).test_episodes for name in variants}
    keys = {"dpi", "smoothing"}
    return _figure("learning_curves", config, upstream, keys, test_episodes=episodes)


def task_win_rates_params(config: Config, problem: str) -> Params:
    """Params of the win rates on each task of one problem."""
    upstream = of_all("evaluate", config, problem, config.study.variants)
    return _figure("task_win_rates", config, upstream, {"dpi", "policy"})


def embeddings_params(config: Config, problem: str) -> Params:
    """Params of the figure of embeddings on one problem."""
    return _clusterings("embeddings", config, problem, with_clusterings(config))


def codebook_params(config: Config, problem: str) -> Params:
    """Params of the figure of the codes on one problem."""
    return _clusterings("codebook", config, problem, with_codebook(config))


def predictor_accuracy_params(config: Config, problem: str) -> Params:
    """Params of the figure of the predictor's accuracy on one problem."""
    upstream = of_all("train", config, problem, with_classes(config))
    return _figure("predictor_accuracy", config, upstream, {"dpi"})


def predictor_alone_params(config: Config, problem: str) -> Params:
    """Params of the figure of the predictor alone on one problem."""
    names = config.used_representations
    upstream = of_all("predict", config, problem, names)
    return _figure("predictor_alone", config, upstream, {"dpi"}, names)


def predictor_confusion_params(config: Config, problem: str) -> Params:
    """Params of the figure of the classes predicted on each task of one problem."""
    names = with_classes(config)
    upstream = of_all("evaluate", config, problem, names)
    return _figure("predictor_confusion", config, upstream, {"dpi", "policy"}, names)


def label_consistency_params(config: Config, problem: str) -> Params:
    """Params of the figure of label consistency on one problem."""
    upstream = of_all("train", config, problem, with_clusterings(config))
    return _figure("label_consistency", config, upstream, {"dpi"})


def ood_gain_params(config: Config, problem: str) -> Params:
    """Params of the figure of gains on tasks that were not trained on, on one problem."""
    names = with_gain(config)
    upstream = of_all("evaluate", config, problem, names)
    return _figure(
        "ood_gain",
        config,
        upstream,
        {"dpi", "policy"},
        names,
        task_sets=list(config.evaluate.task_sets),
        baselines=baselines(config),
    )


def aggregates_params(config: Config) -> Params:
    """Params of the aggregates over all problems."""
    return _over_problems("aggregates", config, reference=config.reference)


def performance_profiles_params(config: Config) -> Params:
    """Params of the performance profiles over all problems."""
    return _over_problems("performance_profiles", config)


def experiment_params(config: Config, experiment: str) -> Params:
    """Params of the figure of an experiment."""
    names = config.experiments[experiment].names
    study = config.with_study_of(experiment)
    upstream, more = compared(config, experiment)
    return _figure("experiment", study, upstream, {"dpi", "policy"}, names, **more)


def with_codebook(config: Config) -> list[str]:
    """The study's variants whose representation has a codebook."""
    having = {name for name, each in config.representations.items() if each.has_codebook}
    return [n for n in config.study.variants if config.variants[n].representation in having]


def with_gain(config: Config) -> list[str]:
    """The study's variants with classes that have a baseline, and these baselines."""
    gains = baselines(config)
    return list(dict.fromkeys([*gains, *gains.values()]))


def _clusterings(name: str, config: Config, problem: str, variants: list[str]) -> Params:
    """Params of a figure of the first clustering of representations, and of those in training."""
    used = {variant: str(config.variants[variant].representation) for variant in variants}
    upstream = {
        **of_all("cluster", config, problem, list(dict.fromkeys(used.values()))),
        **of_all("train", config, problem, variants),
    }
    return _figure(name, config, upstream, {"dpi"}, variants, representations=used)


def _figure(
    name: str,
    config: Config,
    upstream: dict[str, str],
    keys: set[str],
    names: Sequence[str] | None = None,
    **more: Any,
) -> Params:
    """Params of a figure in that module of `trama.reporting.figures`.

    `names` are those of all variants where variants have their own looks in it.
    """
    shown = config.study.variants if names is None else names
    params = report_params("figures", config, upstream, shown, keys, name)
    return {**params, "study_seed": config.study.seed, **more}


def _over_problems(name: str, config: Config, **more: Any) -> Params:
    """Params of a figure of the evaluations on all problems."""
    upstream = of_study(config, evaluate=config.study.variants)
    problems = list(config.study.problems)
    return _figure(name, config, upstream, {"dpi", "policy"}, problems=problems, **more)
