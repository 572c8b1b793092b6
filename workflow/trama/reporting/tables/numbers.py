"""Every headline number of a study as a LaTeX macro, so that a text cites results by name."""

import re
from collections.abc import Sequence

import pandas as pd

from trama.config.macros import letters
from trama.config.problems import OOD, TRAINED
from trama.config.table_params import TableParams
from trama.errors import TramaError
from trama.reporting import statistics
from trama.reporting.estimates import Estimate
from trama.reporting.statistics import Inputs
from trama.reporting.tables.measured import METRICS, Measured, interval_words
from trama.reporting.tables.table import Table

_DISTANCE = "centroid_distance"
_PREDICTOR = {
    "predictor_accuracy": "accuracy of the class predictor",
    "predictor_balanced_accuracy": "balanced accuracy of the class predictor",
    "majority_rate": "accuracy of always naming the most frequent class",
}
_GIVEN = {
    "true_class": "the true class",
    "random_class": "a random class",
    "wrong_class": "a wrong class",
    "no_class": "no class",
}
_SWAP = {
    "swap_effect": "change of action values when classes are swapped, over their spread",
    "swap_actions": "share of greedy actions that change when classes are swapped",
}
_CONSISTENCY = {
    "label_consistency": "label consistency",
    "label_consistency_chance": "label consistency by chance",
}
_CLUSTERS = {
    "ari": "adjusted Rand index of clusters and true tasks",
    "nmi": "normalised mutual information of clusters and true tasks",
    "silhouette": "silhouette of the clusters",
}


def numbers(inputs: Inputs, params: TableParams, study: str) -> Table:
    """Return the table of a study's headline numbers, whose LaTeX are the definitions of macros.

    Args:
        inputs: `episodes` of each problem, variant and seed; `histories` of those with a predictor;
            `given_classes` of those with classes; `cluster_metrics` of each problem, representation
            and seed.
        params: of the table, with `reference`, `baselines`, `task_sets` and `given_classes`.
        study: its name.

    Raises:
        TramaError: a file is missing, broken or lacks what is shown, or two macros have one name.
    """
    macros = _Macros(params)
    episodes = statistics.read_episodes(inputs["episodes"])
    macros.add_text("StudySeeds", str(len(params.seeds)), "seeds of the study")
    for problem in dict.fromkeys(episodes["problem"]):
        of_problem = episodes[episodes["problem"] == problem]
        macros.add_evaluation(of_problem, [TRAINED], (problem,), f"on {problem}")
        sets = statistics.played_sets(of_problem, params.tables.policy, params.task_sets)
        for task_set in sets:
            where = f"on the tasks {task_set} of {problem}"
            macros.add_evaluation(of_problem, [task_set], (problem, task_set), where)
            macros.add_ood(of_problem, [task_set], (problem, task_set), where)
        if sets:
            where = f"on all tasks that were not trained on of {problem}"
            macros.add_evaluation(of_problem, sets, (problem, OOD), where)
            macros.add_ood(of_problem, sets, (problem, OOD), where)
    macros.add_evaluation(episodes, [TRAINED], (), "over all problems")
    macros.add_comparisons(episodes)
    for problem, files in statistics.by_problem(inputs.get("given_classes", [])).items():
        paths = [path for seeds in files.values() for path in seeds.values()]
        given = statistics.read_given_classes(paths)
        macros.add_class_use(episodes[episodes["problem"] == problem], given, problem)
    for problem, histories in statistics.by_problem(inputs.get("histories", [])).items():
        for metric, words in _PREDICTOR.items():
            measured = Measured(statistics.final_scores(histories, metric), params)
            macros.add_means(measured, (problem,), metric, f"{words}, %s on {problem}")
        clusterings = statistics.clusterings(histories, list(_CONSISTENCY))
        for metric, words in _CONSISTENCY.items():
            scores = statistics.clustering_scores(clusterings, metric, len(params.seeds))
            measured = Measured(scores, params)
            macros.add_means(measured, (problem,), metric, f"{words}, %s on {problem}")
    for problem, files in statistics.by_problem(inputs.get("cluster_metrics", [])).items():
        for metric, words in _CLUSTERS.items():
            measured = Measured(statistics.cluster_scores(files, metric), params)
            macros.add_means(measured, (problem,), metric, f"{words}, %s on {problem}")
    return Numbers(
        title=f"Study {study}: numbers as LaTeX macros",
        caption=[
            f"The headline numbers of the study ({params.tables.policy} policies) as macros: with "
            r"``\input`` of ``numbers.tex`` a text cites them by name. Win rates and returns are "
            "interquartile means (IQM) over seeds and tasks, means where the name says so; others "
            f"are means over seeds. {interval_words(len(params.seeds), differences=True)} Their "
            "ends have macros of their own."
        ],
        header=["Macro", "Value", "What it is"],
        align="lrw",
        rows=[[f"\\{name}", text, meaning] for name, (text, meaning) in macros.found.items()],
        tidy=pd.DataFrame(
            [(name, text, meaning) for name, (text, meaning) in macros.found.items()],
            columns=["macro", "value", "meaning"],
        ),
        shown=f"policy {params.tables.policy}; predictors at the last test, every clustering",
    )


class Numbers(Table):
    """A table of macros, which is their definitions in LaTeX."""

    def latex(self, origin: str) -> str:
        r"""Return a \newcommand per macro, each with a comment that says what it is."""
        lines = [f"% {self.title}.", f"% {origin}", r"% In a sentence, write \Name{} with braces."]
        for name, text, meaning in self.rows:
            number = re.sub(r"^-", r"\\ensuremath{-}", text)
            lines.append(rf"\newcommand{{{name}}}{{{number}}}% {meaning}")
        return "\n".join([*lines, ""])


class _Macros:
    """Macros by their name, each with its text and what it is."""

    def __init__(self, params: TableParams):
        self.params = params
        self.found: dict[str, tuple[str, str]] = {}

    def add_evaluation(
        self, episodes: pd.DataFrame, sets: Sequence[str], names: tuple[str, ...], where: str
    ) -> None:
        """Add win rate and return of each variant over the tasks of some sets."""
        for metric, measured in self._measured(episodes, sets, *METRICS).items():
            for variant in self.params.names:
                for statistic, prefix, words in (("iqm", "", "IQM"), ("mean", "mean", "mean")):
                    name = letters(variant, *names, prefix, metric)
                    meaning = f"{METRICS[metric].lower()} of {variant} {where}, {words}"
                    self._add_measured(name, measured, variant, statistic, meaning)

    def add_ood(
        self, episodes: pd.DataFrame, sets: Sequence[str], names: tuple[str, ...], where: str
    ) -> None:
        """Add distance and gain of each variant that has one, over the tasks of some sets."""
        measured = self._measured(episodes, sets, _DISTANCE, "win_rate")
        self.add_means(
            measured[_DISTANCE], names, "distance", f"distance to the centroids of %s {where}"
        )
        for variant, over in self.params.baselines.items():
            gain = measured["win_rate"].gain(variant, over, "iqm")
            meaning = f"gain in win rate of {variant} over {over} {where}, IQM"
            self._add_estimate(letters(variant, *names, "win_rate_gain"), gain, meaning)

    def add_class_use(self, episodes: pd.DataFrame, given: pd.DataFrame, problem: str) -> None:
        """Add how much variants win with classes that their agents are given, and what a swap does.

        A difference is that to the predicted classes, run by run; so its statistic is the mean.
        """
        policy = self.params.tables.policy
        predicted = statistics.scores(episodes, policy, "win_rate")
        tasks = range(len(predicted.tasks))
        for kind in self.params.given_classes:
            scores = statistics.given_scores(given, policy, kind, predicted, self.params.seeds)
            won = statistics.known(scores, tasks)
            difference = Measured(statistics.minus(won, predicted.values), self.params)
            measured = Measured(won, self.params)
            for variant in won:
                words = f"win rate of {variant} on {problem} with {_GIVEN[kind]}"
                name = letters(variant, problem, "with", kind, "win_rate")
                self._add_measured(name, measured, variant, "iqm", f"{words}, IQM")
                self._add_measured(
                    f"{name}Difference",
                    *(difference, variant, "mean"),
                    f"{words} minus that with the predicted ones, mean over seeds and tasks",
                )
        for metric, words in _SWAP.items():
            measured = self._measured(episodes, [TRAINED], metric)[metric]
            self.add_means(measured, (problem,), metric, f"{words}, %s on {problem}")

    def add_comparisons(self, episodes: pd.DataFrame) -> None:
        """Add what sets each variant apart from the reference over all problems."""
        reference = self.params.reference
        assert reference is not None
        measured = self._measured(episodes, [TRAINED], *METRICS)
        for variant in self.params.names:
            if variant == reference:
                continue
            for metric in METRICS:
                difference = measured[metric].gain(variant, reference, "iqm")
                words = f"{METRICS[metric].lower()} of {variant} minus that of {reference}"
                name = letters(variant, metric, "difference")
                self._add_estimate(name, difference, f"{words} over all problems, IQM")
            self._add_estimate(
                letters(variant, "improvement"),
                measured["win_rate"].improvement(variant, reference),
                f"probability that {variant} wins more than {reference} on a task",
            )

    def add_means(
        self, measured: Measured, names: tuple[str, ...], metric: str, meaning: str
    ) -> None:
        """Add the mean of each name that has one; it stands in `meaning` for its %s."""
        for name in measured.scores:
            macro = letters(name, *names, metric)
            self._add_measured(macro, measured, name, "mean", f"{meaning % name}, mean over seeds")

    def add_text(self, name: str, text: str, meaning: str) -> None:
        """Add a macro.

        Raises:
            TramaError: another one has its name.
        """
        if name in self.found:
            raise TramaError(
                f"numbers.tex: the macro \\{name} would be both `{self.found[name][1]}` and "
                f"`{meaning}`; rename one of these in the config"
            )
        self.found[name] = text, meaning

    def _measured(
        self, episodes: pd.DataFrame, sets: Sequence[str], *metrics: str
    ) -> dict[str, Measured]:
        policy = self.params.tables.policy
        scores = {m: statistics.scores(episodes, policy, m, sets) for m in metrics}
        return {m: Measured(of.values, self.params, of.problems) for m, of in scores.items()}

    def _add_measured(
        self, name: str, measured: Measured, variant: str, statistic: str, meaning: str
    ) -> None:
        """Add a statistic of a variant with the ends of its interval.

        Without an interval, the lowest and the highest of several seeds are in its place, by names
        that a text cannot take for an interval's.
        """
        estimate = measured.estimate(variant, statistic)
        self._add_estimate(name, estimate, meaning)
        if estimate.low is None and estimate.n_seeds > 1:
            seeds = measured.scores[variant].mean(axis=1)
            self._add_number(f"{name}LowestSeed", seeds.min(), f"lowest seed of \\{name}")
            self._add_number(f"{name}HighestSeed", seeds.max(), f"highest seed of \\{name}")

    def _add_estimate(self, name: str, estimate: Estimate | None, meaning: str) -> None:
        if estimate is None:
            return
        self._add_number(name, estimate.value, meaning)
        for end, value in (("Low", estimate.low), ("High", estimate.high)):
            if value is not None:
                self._add_number(f"{name}{end}", value, f"{end.lower()} end of 95 % of \\{name}")

    def _add_number(self, name: str, value: float, meaning: str) -> None:
        self.add_text(name, f"{value:z.{self.params.tables.decimals}f}", meaning)
