"""The main findings of a study in numbers: the first page of Snakemake's report.

They are the numbers of the tables, from the same scores and with the same bootstrap.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from trama.config.problems import TRAINED
from trama.config.table_params import TableParams
from trama.data.parquet import Provenance, read_provenance, read_table
from trama.data.sources import write_sources
from trama.reporting import statistics, words
from trama.reporting.captions import caption_text
from trama.reporting.statistics import Files, Inputs
from trama.reporting.tables.measured import (
    Measured,
    interval_text,
    interval_words,
)

_PREDICTOR = {
    "predictor_accuracy": "accuracy",
    "predictor_balanced_accuracy": "balanced over the classes",
    "majority_rate": "naming the most frequent class alone",
}
_CONSISTENCY = {"label_consistency": "kept", "label_consistency_chance": "by chance"}


def write_findings(
    inputs: Inputs,
    params: TableParams,
    study: str,
    *,
    text: Path,
    sources: Path,
    provenance: Provenance,
) -> None:
    """Write the main findings of a study.

    Args:
        inputs: as `findings`.
        params: as `findings`.
        study: its name.
        text: file to write.
        sources: file that names the inputs.
        provenance: goes into that file.

    Raises:
        TramaError: as `findings`.
    """
    text.write_text("\n\n".join(findings(inputs, params, study)) + "\n", encoding="utf-8")
    write_sources(
        sources,
        made=[text],
        inputs=[file for kind in inputs.values() for file in kind],
        rows=(
            f"policy {params.tables.policy}; last environment step; predictors at the last test; "
            "every clustering"
        ),
        provenance=provenance,
    )


def findings(inputs: Inputs, params: TableParams, study: str) -> list[str]:
    """Return the main findings of a study as blocks of reStructuredText.

    Args:
        inputs: `episodes` and `histories` of each problem, variant and seed; `cluster_metrics` of
            each problem, representation and seed.
        params: `names` are all variants of the study, `with_predictor` those that have classes;
            also with `reference`, `baselines` and `task_sets`.
        study: its name.

    Raises:
        TramaError: a file is missing, broken or lacks what is shown.
    """
    episodes = statistics.read_episodes(inputs["episodes"])
    histories = statistics.by_problem(inputs["histories"])
    clusters = statistics.by_problem(inputs.get("cluster_metrics", []))
    blocks = _introduction(params, study)
    for problem, files in histories.items():
        of_problem = episodes[episodes["problem"] == problem]
        bullets = [
            *_predictors({v: files[v] for v in params.with_predictor}, params),
            *_consistency(files, params),
            *_clusters(clusters.get(problem, {}), params),
        ]
        blocks += [
            _title(f"``{problem}``"),
            *_compared(of_problem, list(files.items()), params),
            *_ood(of_problem, params),
            "\n".join(map(_bullet, bullets)),
        ]
    if len(histories) > 1:
        of_all = [named for files in histories.values() for named in files.items()]
        blocks += [_title("All problems together"), *_compared(episodes, of_all, params)]
    return [block for block in (*blocks, _origin(inputs)) if block]


def _introduction(params: TableParams, study: str) -> list[str]:
    names = ", ".join(f"``{name}``" for name in params.names)
    seeds = ", ".join(map(str, params.seeds))
    return [
        _paragraph(
            f"Study ``{study}``: variants {names}; {words.counted(len(params.seeds), 'seed')} "
            f"({seeds}). Win rates are of greedy episodes of the {params.tables.policy} policies, "
            "as interquartile means (IQM) over seeds and tasks; other values are means over seeds. "
            f"{interval_words(len(params.seeds), differences=True)}"
        ),
        _paragraph(
            f"Difference: the win rate of a variant minus that of the reference, "
            f"``{_reference(params)}``. Gain: the win rate of a variant with classes minus that of "
            "the one that has the same mixer and no classes. P(improvement): how probable it is "
            "that a run wins more on a task than one of the other variant; at 0.5 none is better."
        ),
    ]


def _compared(
    episodes: pd.DataFrame, histories: Sequence[tuple[str, Mapping[int, Path]]], params: TableParams
) -> Iterator[str]:
    """Win rate of each variant on the tasks that it was trained on, beside the reference's."""
    policy, reference = params.tables.policy, _reference(params)
    scores = statistics.scores(episodes, policy, "win_rate")
    measured = Measured(scores.values, params, scores.problems)
    rows = [("Variant", "Env steps", "Win rate", "Difference", "P(improvement)")]
    for variant in params.names:
        compared = "reference", ""
        if variant != reference:
            compared = (
                measured.gain_cell(variant, reference, "iqm"),
                _improvement(measured, variant, reference, params),
            )
        steps = [
            _env_steps(path) for v, files in histories if v == variant for path in files.values()
        ]
        rows.append((f"``{variant}``", _range(steps), measured.cell(variant, "iqm"), *compared))
    played = words.episodes(statistics.of_sets(episodes, policy, TRAINED))
    yield _paragraph(
        f"{words.counted(len(scores.tasks), 'trained task')}, {played} per seed and task:"
    )
    yield _list_table(rows)
    gains = [
        f"Gain of ``{variant}`` over ``{over}``: {measured.gain_cell(variant, over, 'iqm')}, "
        f"P(improvement) {_improvement(measured, variant, over, params)}."
        for variant, over in params.baselines.items()
    ]
    yield "\n".join(map(_bullet, gains))


def _reference(params: TableParams) -> str:
    assert params.reference is not None  # those of this table have one
    return params.reference


def _improvement(measured: Measured, variant: str, over: str, params: TableParams) -> str:
    """How probable it is that a run has a higher score than one of another variant."""
    return interval_text(*measured.improvement(variant, over)[:3], params.tables.decimals)


def _ood(episodes: pd.DataFrame, params: TableParams) -> Iterator[str]:
    """Win rate of each variant on each set of tasks that was not trained on."""
    policy = params.tables.policy
    reference = _reference(params)
    over = params.baselines.get(reference)
    gain = [f"Gain of ``{reference}``"] if over else []
    rows = [("Task set", "Tasks", *(f"``{variant}``" for variant in params.names), *gain)]
    for task_set in statistics.played_sets(episodes, policy, params.task_sets):
        tasks, scores = statistics.scores(episodes, policy, "win_rate", task_set)
        measured = Measured(scores, params)
        cells = [measured.cell(variant, "iqm") for variant in params.names]
        if over:
            cells.append(measured.gain_cell(reference, over, "iqm"))
        rows.append((f"``{task_set}``", str(len(tasks)), *cells))
    if len(rows) > 1:
        yield _paragraph("Win rates on tasks that were not trained on:")
        yield _list_table(rows)


def _predictors(histories: Files, params: TableParams) -> Iterator[str]:
    """Accuracy of each class predictor at the end of training."""
    measured = {
        metric: Measured(statistics.final_scores(histories, metric), params)
        for metric in _PREDICTOR
    }
    for variant in histories:
        values = [f"{words} {measured[m].cell(variant, 'mean')}" for m, words in _PREDICTOR.items()]
        yield f"Class predictor of ``{variant}`` at the end of training: {', '.join(values)}."


def _consistency(histories: Files, params: TableParams) -> Iterator[str]:
    """Share of labels that each variant's clusterings keep, where every seed has a clustering."""
    clusterings = statistics.clusterings(histories, list(_CONSISTENCY))
    measured = {
        metric: Measured(
            statistics.clustering_scores(clusterings, metric, len(params.seeds)), params
        )
        for metric in _CONSISTENCY
    }
    for variant in measured["label_consistency"].scores:
        values = [f"{measured[m].cell(variant, 'mean')} {w}" for m, w in _CONSISTENCY.items()]
        yield f"Labels of ``{variant}`` when they are clustered anew: {', '.join(values)}."


def _clusters(cluster_metrics: Files, params: TableParams) -> Iterator[str]:
    """Agreement of each representation's first classes with the true tasks."""
    measured = Measured(statistics.cluster_scores(cluster_metrics, "ari"), params)
    for name in cluster_metrics:
        yield (
            f"Clusters of ``{name}`` before training, against the true tasks: adjusted Rand index "
            f"(ARI) {measured.cell(name, 'mean')}; 0 is chance, 1 is identity."
        )


def _origin(inputs: Inputs) -> str:
    """What all of this was made with."""
    made = [read_provenance(file) for files in inputs.values() for file in files]
    code = ", ".join(sorted({p.code_version for p in made}))
    environments = ", ".join(sorted({p.environment_version for p in made}))
    return _paragraph(
        f"From {len(made)} files that were made by version {code} in environment {environments}."
    )


def _env_steps(history: Path) -> int:
    """Environment steps that a training ended with."""
    return int(read_table(history, "history")["env_steps"].to_numpy().max())


def _range(values: Sequence[int]) -> str:
    return " to ".join(dict.fromkeys(f"{end:,}" for end in (min(values), max(values))))


def _paragraph(text: str) -> str:
    return caption_text([text]).strip()


def _title(text: str) -> str:
    return f"{text}\n{'-' * len(text)}"


def _bullet(text: str) -> str:
    return textwrap.fill(
        text,
        100,
        initial_indent="- ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _list_table(rows: Sequence[Sequence[str]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        for i, cell in enumerate(row):
            lines.append(f"   {'*' if i == 0 else ' '} - {cell}".rstrip())
    return "\n".join(lines)
