"""Experiments: what is compared, of what, and by which measures."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trama.config.sections import Name, Section, Seed, Words, listed
from trama.config.validation import Broken, duplicates, report

Measure = Literal[
    "win_rate",
    "return",
    "ood_win_rate",
    "swap_actions",
    "confidence_auroc",
    "energy_auroc",
    "disagreement_auroc",
    "distance_auroc",
    "fallback_win_rate",
    "fallback_ood_win_rate",
    "true_class_win_rate",
    "random_class_win_rate",
    "wrong_class_win_rate",
    "learning_win_rate",
    "predictor_accuracy",
    "predictor_balanced_accuracy",
    "label_consistency",
    "label_consistency_chance",
    "ari",
    "tasks_found",
    "nmi",
    "silhouette",
    "codes_in_use",
    "n_classes",
    "right_number",
    "true_task_accuracy",
    "true_task_first_accuracy",
    "clusters_accuracy",
    "clusters_first_accuracy",
    "train_minutes",
    "classes_share",
    "predictor_seconds",
    "label_seconds",
    "vqvae_seconds",
    "cluster_seconds",
    "predictor_mb",
    "label_mb",
    "vqvae_mb",
    "cluster_mb",
]

OF_NOVELTY: tuple[Measure, ...] = (
    *("confidence_auroc", "energy_auroc"),
    *("disagreement_auroc", "distance_auroc"),
)
"""Measures of how well scores of novelty detect tasks that were not trained on."""
OF_EPISODES: tuple[Measure, ...] = (
    *("win_rate", "return", "ood_win_rate", "swap_actions"),
    *OF_NOVELTY,
)
"""Measures of the episodes of stage evaluate."""
OF_FALLBACKS: tuple[Measure, ...] = ("fallback_win_rate", "fallback_ood_win_rate")
"""Measures of those in which agents use no class where an episode looks novel."""
OF_GIVEN: tuple[Measure, ...] = (
    *("true_class_win_rate", "random_class_win_rate", "wrong_class_win_rate"),
)
"""Measures of those in which all agents are given a class of evaluate.given_classes."""
OF_EVALUATIONS: tuple[Measure, ...] = (*OF_EPISODES, *OF_FALLBACKS, *OF_GIVEN)
"""Measures of stage evaluate."""
OF_PREDICTIONS: tuple[Measure, ...] = ("predictor_accuracy", "predictor_balanced_accuracy")
"""Measures of the predictor in a training."""
OF_LABELS: tuple[Measure, ...] = ("label_consistency", "label_consistency_chance")
"""Measures of what re-clusterings do to labels."""
OF_HISTORIES: tuple[Measure, ...] = ("learning_win_rate", *OF_PREDICTIONS, *OF_LABELS)
"""Measures of the histories of stage train."""
OF_CLUSTERS: tuple[Measure, ...] = (
    *("ari", "tasks_found", "nmi", "silhouette", "codes_in_use"),
    *("n_classes", "right_number"),
)
"""Measures of clusters: of a representation, those of stage cluster; of a variant, its last ones.
"""
OF_PREDICTORS: tuple[Measure, ...] = (
    *("true_task_accuracy", "true_task_first_accuracy"),
    *("clusters_accuracy", "clusters_first_accuracy"),
)
"""Measures of the predictor alone, of stage predict."""
OF_CLASS_PARTS: tuple[Measure, ...] = (
    *("predictor_seconds", "label_seconds"),
    *("predictor_mb", "label_mb"),
)
"""Measures of what those parts of stage train took that all classes have."""
OF_CLUSTER_PARTS: tuple[Measure, ...] = ("cluster_seconds", "cluster_mb")
"""Measures of what its clusterings took."""
OF_VQVAE_PARTS: tuple[Measure, ...] = ("vqvae_seconds", "vqvae_mb")
"""Measures of what its updates of the VQ-VAE took."""
OF_TIMINGS: tuple[Measure, ...] = (
    *("train_minutes", "classes_share"),
    *OF_CLASS_PARTS,
    *OF_CLUSTER_PARTS,
    *OF_VQVAE_PARTS,
)
"""Measures of what the parts of stage train took."""


class Experiment(Section):
    """A comparison of its own: its runs are those of the chain, its end a figure and a table."""

    question: Annotated[str, Words("a sentence")] = Field(
        ..., min_length=1, description="What it is to answer, in a sentence; heads its caption."
    )
    problems: tuple[Name, ...] = listed(..., "Problems, by their name in `problems`.")
    seeds: tuple[Seed, ...] = listed((0, 1, 2), "Seeds.")
    representations: tuple[Name, ...] = listed(
        (), "Representations that are compared, without any training.", min_length=0
    )
    variants: tuple[Name, ...] = listed(
        (), "Variants that are compared, in place of representations.", min_length=0
    )
    baselines: dict[Name, Name] = Field(
        default={},
        description="By name, the one that it is set beside in findings, where that is not the "
        "first one; what the experiment does not compare has no effect.",
    )
    measures: tuple[Measure, ...] = listed(
        ...,
        "What is measured: of the last policies' greedy episodes win rate, return, win rate on the "
        "task sets, greedy actions that another class would change, how well scores of novelty "
        "detect the task sets, and win rates with the fallback, or with the true, a random or a "
        "wrong class given to all agents; of all tests of a training the win rate, which says how "
        "fast it learns; at the end of training the predictor's accuracy, and the quality of the "
        "clusters (of representations: those of stage cluster) and whether they find the true "
        "tasks, how well a predictor alone tells true tasks and clusters, over an episode and at "
        "its first step, the number of clusters, and whether it is that of the unit combinations; "
        "over a training its labels' consistency, minutes, the share of these that classes took, "
        "and of predictor, labels, VQ-VAE and clusterings the seconds, and the most memory that a "
        "call took beyond what was held, of host and GPU.",
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        problems = [
            broken
            for key in ("problems", "seeds", "representations", "variants", "measures")
            for broken in duplicates((key,), getattr(self, key))
        ]
        itself = "is set beside itself: name another one"
        problems += [
            Broken(("baselines", name), itself, over)
            for name, over in self.baselines.items()
            if name == over
        ]
        if bool(self.representations) == bool(self.variants):
            problems.append(
                Broken(
                    ("variants",),
                    "an experiment compares either representations or variants: name some of one "
                    "kind, and none of the other",
                    self.variants,
                    others=(("representations",),),
                )
            )
        elif self.representations:
            problems += [
                Broken(
                    ("measures", i),
                    "is measured of variants, and this experiment compares representations: remove "
                    "it, or name variants instead",
                    measure,
                    valid=(*OF_CLUSTERS, *OF_PREDICTORS),
                    others=(("representations",),),
                )
                for i, measure in enumerate(self.measures)
                if measure not in (*OF_CLUSTERS, *OF_PREDICTORS)
            ]
        else:
            problems += [
                Broken(
                    ("measures", i),
                    "is measured of representations, and this experiment compares variants: remove "
                    "it, or name representations instead",
                    measure,
                    others=(("variants",),),
                )
                for i, measure in enumerate(self.measures)
                if measure in OF_PREDICTORS
            ]
        report("experiment", problems)
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The representations or variants that are compared."""
        return self.representations or self.variants

    def measures_any(self, measures: tuple[Measure, ...]) -> bool:
        """Whether it measures one of these."""
        return not set(measures).isdisjoint(self.measures)
