"""docs/RESULTS.md, and each study's docs/results/<study>/FIGURES.md, from what is recorded."""

import csv
import json
import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from command import ROOT, read_config
from trama.archive import COMPRESSED, manifest_of
from trama.config.experiments import Experiment
from trama.config.model import Config, Study
from trama.config.trees import leaves
from trama.reporting import comparisons, words
from trama.reporting.estimates import MIN_SEEDS, Estimate
from trama.reporting.experiments import TITLES
from trama.reporting.tables.claims import CLAIMS
from trama.reporting.tables.measured import difference_text
from trama.reporting.tables.measurement import PARTLY, SUPPORTING
from trama.reporting.words import MISSING

ON_PAGE = ("study_claims", "study_win_rates", "*_class_use", "study_ablations", "experiment_*")
"""Tables that stand on the page, where a study has them."""

FIGURES = "FIGURES.md"

INTRODUCTION = """\
# Results

`make record` writes this page from finished studies. Nothing on it is written by hand.
`docs/results/<study>` has all figures and tables of a study, the rows that its tables were made
from, and its configuration as it ran (`provenance`). What differs from the paper, and why, stands
in [method.md](method.md): above all the game, which is SMAX, or particles, and not StarCraft II,
and the env steps. How values are compared stands there, too.
"""

_OF_CLUSTERS = ("env", "collect", "pretrain", "cluster", "predict")
_SECTIONS = (*_OF_CLUSTERS, "train", "evaluate")
"""Sections of the configuration that decide on what is measured."""

_FEW = 4
"""So many differences are told by name; of more their number and their range."""

_ON_DIFFERENCES = "How differences are shown"
_POINTER = f"[{_ON_DIFFERENCES}](#{_ON_DIFFERENCES.lower().replace(' ', '-')})."

LEVELS = ("mean", "share")
"""Statistics of an experiment's CSV that say how much is measured of a name."""

Row = Sequence[str]


def page(recorded: Path) -> Iterator[str]:
    """Paragraphs of the page on all studies that are recorded.

    Args:
        recorded: folder of the studies.
    """
    studies = sorted(folder for folder in recorded.iterdir() if folder.is_dir())
    yield INTRODUCTION
    yield from in_short(studies)
    yield from not_run(recorded)
    shown = {study: {each: paragraphs_of(each) for each in tables_of(study)} for study in studies}
    of_tables = chain.from_iterable(tables.values() for tables in shown.values())
    if any(map(is_note, chain.from_iterable(of_tables))):
        yield f"## {_ON_DIFFERENCES}\n"
        yield f"{comparisons.NOTE}\n"
    for study in studies:
        yield f"## Study {study.name}\n"
        yield how_it_ran(study)
        for table, (title, *paragraphs) in shown[study].items():
            title = re.sub(r"^Study \w+:", f"Study {study.name}:", title)  # as the folder is called
            yield f"### {title.rstrip('.')}\n"
            yield from (f"{_POINTER if is_note(each) else each}\n" for each in paragraphs)
            figure = study / "figures" / f"{table.stem}.png"
            if figure.is_file():  # its numbers are those of the table
                yield picture(figure, recorded.parent)
        if figures := figures_of(study):
            path = study.relative_to(recorded.parent) / FIGURES
            yield f"All figures ({len(figures)}), with their captions: [{path}]({path}).\n"


def figures_page(study: Path) -> Iterator[str]:
    """Paragraphs of the page of a study's figures."""
    yield f"# Figures of study {study.name}\n"
    for figure in figures_of(study):
        yield picture(figure, study)
        yield as_markdown(figure.with_suffix(".caption.rst").read_text(encoding="utf-8"))


def paragraphs_of(table: Path) -> list[str]:
    """The title, the cells and the caption's paragraphs of a table in Markdown."""
    text = as_markdown(without_origin(table.read_text(encoding="utf-8")))
    return [part.strip() for part in text.split("\n\n") if part.strip()]


def is_note(paragraph: str) -> bool:
    """Whether it is what experiments' tables say of their differences, however it is wrapped."""
    return paragraph.split() == comparisons.NOTE.split()


def tables_of(study: Path) -> list[Path]:
    """Tables of a study that stand on the page, in their order there."""
    return [file for name in ON_PAGE for file in sorted(study.glob(f"tables/{name}.md"))]


def figures_of(study: Path) -> list[Path]:
    """All figures of a study."""
    return sorted((study / "figures").glob("*.png"))


def in_short(studies: Sequence[Path]) -> Iterator[str]:
    """The verdicts of all studies, and which question was asked in which."""
    yield "## In short\n"
    found = {study: verdicts_in_short(rows_of_claims(study)) for study in studies}
    claims = list(dict.fromkeys(claim for of_study in found.values() for claim in of_study))
    if claims:
        yield (
            "Which of the paper's claims about TRAMA a study reproduced, and what it saw of "
            "questions that the paper does not have. Beside each verdict stand the first numbers "
            "that it rests on, with 95 % intervals: right predictions, labels kept, and of all "
            "others differences in win rate, and in return where that alone speaks for the claim. "
            "Of several baselines with one mixer, the one that speaks most against a claim counts. "
            "A claim is true in part where it is over one mixer alone, or in win rate or return "
            "alone; a gain over another mixer may be that mixer's.\n"
        )
        of_claims = [study for study in studies if found[study]]
        rows = [
            [f"**{claim}**: {CLAIMS[claim]}"]
            + [found[study].get(claim, MISSING) for study in of_claims]
            for claim in (name for name in CLAIMS if name in claims)
        ]
        scales = [
            f"{linked(study)}: {scale(study)}, {env_steps(study, trained(study))} env steps"
            for study in of_claims
        ]
        yield markdown_table(["Claim", *scales], rows)
    asked = [
        asked_in(study, table)
        for study in studies
        for table in tables_of(study)
        if table.stem.startswith("experiment_")
    ]
    if asked:
        yield (
            "What experiments ask, which study asked it, and what it found of the first two things "
            "that it measures, as means over runs: which names are higher or lower by their 95 % "
            "intervals, and of how many that cannot be told, with the least and the greatest of "
            "their differences; in brackets what they are set beside.\n"
        )
        yield "\n".join(asked) + "\n"


def verdicts_in_short(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Verdict on each claim, and numbers that it rests on, from the CSV of the claims.

    They are of what was measured first, over each of the baselines, and of all that supports a
    claim where none of those does.
    """
    found = {}
    for claim, verdict in {row["claim"]: row["verdict_of_claim"] for row in rows}.items():
        first, *others = [row for row in rows if row["claim"] == claim]
        of_first = [first["metric"], first["variant"]]
        told = [first] + [row for row in others if [row["metric"], row["variant"]] == of_first]
        if verdict == PARTLY and not any(row["verdict"] in SUPPORTING for row in told):
            told += [row for row in others if row["verdict"] in SUPPORTING]
        found[claim] = f"{verdict}: {', '.join(_number(row, *of_first) for row in told)}"
    return found


def _number(row: Mapping[str, str], metric: str, variant: str) -> str:
    """A value of a claim with its interval, and of what it is where not of these two."""
    # Of too few seeds there is no interval.
    low, high = (float(row[end]) if row[end] else None for end in ("low", "high"))
    text = difference_text(float(row["value"]), low, high, 2)
    if row["metric"] != metric:
        text = f"{row['metric'].removesuffix('_difference').replace('_', ' ')} {text}"
    if row["variant"] != variant:
        text += f" of `{row['variant']}`"
    if row["over"] != MISSING:
        text += f" over `{row['over']}`"
    return text


def rows_of_claims(study: Path) -> list[dict[str, str]]:
    """The CSV of a study's claims; none without."""
    path = study / "tables/study_claims.csv"
    return rows_of(path) if path.is_file() else []


def rows_of(table: Path) -> list[dict[str, str]]:
    """The rows of a table's CSV."""
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def scale(study: Path) -> str:
    """Problems and number of seeds of what a study's claims were measured on."""
    problems = [
        file.stem.removesuffix("_results") for file in sorted(study.glob("tables/*_results.csv"))
    ]
    return ", ".join([*problems, words.counted(int(rows_of_claims(study)[0]["n_seeds"]), "seed")])


def env_steps(study: Path, of_trainings: bool) -> str:
    """How long the trainings of a study were, or its stage collect."""
    section = "train" if of_trainings else "collect"
    return f"{run_of(study)['config'][section]['env_steps']:,}"


def asked_in(study: Path, table: Path) -> str:
    """What an experiment of a study asks, its scale, and what it found."""
    name = table.stem.removeprefix("experiment_")
    rows = rows_of(table.with_suffix(".csv"))
    compared = {row["name"] for row in rows}
    steps = env_steps(study, any(each.name in compared for each in study.glob("*/train/*")))
    seeds = words.span([int(row["n_seeds"]) for row in rows if row["statistic"] in LEVELS])
    counted = "1 seed" if seeds == "1" else f"{seeds} seeds"
    asked = f"- **{name}** ({linked(study)}, {steps} env steps, {counted})"
    found = found_in(rows) or "No difference is told."
    return f"{asked}: {question_of(table)} {found}"


def trained(study: Path) -> bool:
    """Whether trainings of a study are recorded."""
    return any(study.glob("*/train/*/seed_*/history.parquet"))


def question_of(table: Path) -> str:
    """What an experiment asks: the first paragraph after its title and its cells."""
    _, *parts = without_origin(table.read_text(encoding="utf-8")).split("\n\n")
    paragraphs = (part for part in parts if not part.startswith("|"))
    return " ".join(as_markdown(next(paragraphs, "")).split())


def found_in(rows: Sequence[Mapping[str, str]]) -> str:
    """What an experiment found of its first two measures, from its CSV; of few seeds nothing."""
    if not rows:  # of a run that measured nothing
        return ""
    measures: dict[str, list[str]] = {}
    for row in rows:
        measures.setdefault(row["name"], []).append(row["measure"])
    # A baseline may not have all of them.
    in_order = dict.fromkeys(max(measures.values(), key=lambda of_name: len({*of_name})))
    found = (
        found_of(measure, [row for row in rows if row["measure"] == measure])
        for measure in [*in_order][:2]
    )
    return " ".join(filter(None, found))


def found_of(measure: str, rows: Sequence[Mapping[str, str]]) -> str:
    """What an experiment found of a measure, from the rows on it."""
    levels = {
        (row["problem"], row["name"]): words.value(float(row["value"]))
        for row in rows
        if row["statistic"] in LEVELS
    }
    gaps: dict[tuple[str, str], dict[str, dict[str, Estimate]]] = {}
    for row in rows:
        # What names gain on one problem more than on another stands in the table alone.
        if row["statistic"] != comparisons.STATISTIC or (row["over"] and row["than_on"]):
            continue
        value, low, high = (float(row[key]) for key in ("value", "low", "high"))
        minus = comparisons.set_beside(row["name"], row["over"]), row["than_on"]
        of_problem = gaps.setdefault(minus, {}).setdefault(row["problem"], {})
        of_problem[row["name"]] = Estimate(value, low, high, int(row["n_seeds"]))
    if any(over for over, _ in gaps):  # else one name, of which problems are compared
        gaps = {minus: of for minus, of in gaps.items() if minus[0]}
    found = [
        f"minus {_called(*minus)}: {_in_brief(of_problems, minus, levels)}"
        for minus, of_problems in gaps.items()
    ]
    return as_markdown(f"{TITLES[measure]}, {'; '.join(found)}.") if found else ""


def _called(over: str, than_on: str) -> str:
    """What differences are set beside, as a sentence names it."""
    if over == comparisons.AS_PREDICTED:
        return f"the same policies {over}"
    return f"``{over}``" if over else f"the same on ``{than_on}``"


def _in_brief(
    gaps: Mapping[str, Mapping[str, Estimate]],
    minus: tuple[str, str],
    levels: Mapping[tuple[str, str], str],
) -> str:
    """Differences by problem and name; problems on which none is told apart in one clause.

    Args:
        gaps: the differences.
        minus: what they are set beside, a name or a problem.
        levels: how much is measured, by problem and name.
    """
    over, than_on = minus
    clauses, alike = [], {}
    for problem, of_problem in gaps.items():
        level = levels.get((problem, over))
        where = f"``{problem}``" + (f" ({level})" if level else "")
        sides = words.by_side(of_problem)
        apart = sides.pop(words.NOT_TOLD_APART)
        told = []
        for side, of in sides.items():
            values = {name: words.small(gap.value)[0] for name, gap in of.items()}
            if len(of) > _FEW:
                told.append(f"{side} for {len(of)}, by {_range(of.values())}")
            elif of:
                told.append(f"{side} for {words.listed(values)}")
        if not told:
            alike[where] = apart
        else:
            number = f"``{next(iter(apart))}``" if len(apart) == 1 else f"{len(apart)}"
            others = [f"{number} not told apart, by {_range(apart.values())}"] if apart else []
            clauses.append(f"on {where} {', '.join([*told, *others])}")
    if alike:
        all_gaps = [gap for of_problem in alike.values() for gap in of_problem.values()]
        first, *more = {name: None for of_problem in alike.values() for name in of_problem}
        what = f"none of {len(more) + 1} told apart" if more else f"``{first}`` not told apart"
        clauses.append(f"{what} on {', '.join(alike)}, by {_range(all_gaps)}")
    if than_on:
        known = {name: levels[than_on, name] for of in gaps.values() for name in of}
        clauses[0] = f"{words.listed(known)}; {clauses[0]}"
    return "; ".join(clauses)


def _range(gaps: Iterable[Estimate]) -> str:
    """From the least difference to the greatest."""
    values = [gap.value for gap in gaps]
    return " to ".join(dict.fromkeys(words.value(each) for each in (min(values), max(values))))


def run_of(study: Path) -> Mapping[str, Any]:
    """What was recorded of the last run of a study: its code and its configuration."""
    run: Mapping[str, Any] = json.loads(provenance_of(study)[-1].read_text(encoding="utf-8"))
    return run


def provenance_of(study: Path) -> list[Path]:
    """What was recorded of each run of a study, in their order."""
    return sorted((study / "provenance").glob("*.json"))


def how_it_ran(study: Path) -> str:
    """The scale of a recorded study, the code of its last run, and what differs from now."""
    run = run_of(study)
    config = run["config"]
    collected = f"{config['collect']['env_steps']:,}"
    sentences = [f"No trainings; trajectories of {collected} env steps of stage collect."]
    if trained(study):
        sentences = [
            f"Trainings of {config['train']['env_steps']:,} env steps, the {collected} of stage "
            "collect included where they learn from its trajectories; "
            f"{config['evaluate']['episodes']} greedy episodes of each policy on each task."
        ]
    names = {folder.name for folder in study.glob("*/representation/*")}
    defined = {n: each for n, each in sorted(config["representations"].items()) if n in names}
    if defined:
        numbers = (
            f"`{name}` {'from the data' if each['class_number'] else each['n_classes']}"
            for name, each in defined.items()
        )
        sentences.append(f"Number of classes (K): {', '.join(numbers)}.")
    sentences.append(f"Backend `{config['env']['backend']}`.")
    sentences += still_learning(study)
    sentences += code_of_jobs(study)
    sentences.append(f"Last run on {run['started'][:10]}, code {version_of(run)}.")
    if unlike := unlike_published(study):
        sentences.append(
            f"Of `{reference_of(study)}`, other than published: {', '.join(unlike)}; why, and what "
            "else is, stands in [method.md](method.md#departures-from-the-paper)."
        )
    source, of_now = definition_of(config)
    sentences.append(f"Defined by {source}.")
    other_backends = of_now.env.backends.keys() - {config["env"]["backend"]}
    used = {"representations": names, "variants": {f.name for f in study.glob("*/train/*")}}
    sections = _SECTIONS if trained(study) else _OF_CLUSTERS
    ran, now = (
        decisive(each, sections, used, other_backends)
        for each in (config, of_now.model_dump(mode="json"))
    )
    if changed := list(departures(ran, now)):
        sentences.append(f"Where it differs from that as it is now: {', '.join(changed)}.")
    return " ".join(sentences) + "\n"


def still_learning(study: Path) -> list[str]:
    """A sentence on the variants whose tests still gained wins at the end; none without any."""
    path = study / "tables/study_win_rates.csv"
    rows = rows_of(path) if path.is_file() else []
    rose = {
        row["variant"]: difference_text(
            float(row["value"]), float(row["low"]), float(row["high"]), 2
        )
        for row in rows
        if (row["metric"], row["statistic"]) == ("win_rate_rise", "mean")
        and row["low"]
        and float(row["low"]) > 0
    }
    if not rose:
        return []
    return [
        "In the last fifth of their env steps tests still gained win rate, so that another budget "
        f"may order them otherwise: {as_markdown(words.listed(rose))}."
    ]


def code_of_jobs(study: Path) -> list[str]:
    """A sentence on the code of a study's first and last training, or else clustering.

    There is none on a study whose jobs are not recorded.
    """
    if not (study / COMPRESSED).is_file():
        return []
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in provenance_of(study)]
    starts = [datetime.fromisoformat(run["started"]).timestamp() for run in runs]
    stage = "train" if trained(study) else "representation"
    records = manifest_of(study).notes["records"]
    jobs = [each["starttime"] for path, each in records.items() if Path(path).parts[3] == stage]
    if not jobs:
        return []
    first, last = (runs[max(bisect(starts, job) - 1, 0)] for job in (min(jobs), max(jobs)))
    done = {"train": "Trained", "representation": "Clustered"}[stage]
    ends = dict.fromkeys(f"{version_of(run)} ({run['started'][:10]})" for run in (first, last))
    return [f"{done} by code {' to '.join(ends)}."]


def version_of(run: Mapping[str, Any]) -> str:
    """The code of a run: its commit in short, or its version where that is unknown."""
    code: Mapping[str, str | None] = run["code"]
    return str(code["version"] if code["commit"] is None else code["commit"][:7])


def reference_of(study: Path) -> str | None:
    """The variant that a study sets others beside; none where it has one alone."""
    path = study / "tables/study_ablations.csv"
    return rows_of(path)[0]["reference"] if path.is_file() else None


def unlike_published(study: Path) -> list[str]:
    """Keys that a study's reference has other than published; of collect, what train has not."""
    path, reference = study / "tables/study_hyperparameters.csv", reference_of(study)
    if reference is None or not path.is_file():
        return []
    rows = [
        row
        for row in rows_of(path)
        if row["variant"] == reference and row["published"] not in ("", row["value"])
    ]
    of_train = {(row["key"], row["value"]) for row in rows if row["section"] == "train"}
    return [
        f"`{row['section']}.{row['key']}` {row['value']} ({row['published']})"
        for row in rows
        if row["section"] != "collect" or (row["key"], row["value"]) not in of_train
    ]


def definition_of(config: Mapping[str, Any]) -> tuple[str, Config]:
    """What defines a study that ran with `config`, in words, and its configuration as it is now.

    It is the configuration file that gives a study this name, else the preset.
    """
    preset = config["preset"]
    for file in configuration_files():
        layer = yaml.safe_load(file.read_text(encoding="utf-8"))
        # Not each of these files suits each preset.
        if layer.get("study", {}).get("name") == config["study"]["name"]:
            return f"`config/{file.name}`", read_config(preset, [file])
    return f"preset `{preset}`", read_config(preset)


def decisive(
    config: Mapping[str, Any],
    sections: Sequence[str],
    used: Mapping[str, set[str]],
    other_backends: Set[str],
) -> dict[str, Any]:
    """The keys of a configuration that decide on what is measured, by dotted key.

    Args:
        config: all of it.
        sections: those that do.
        used: names of definitions that do, by section.
        other_backends: than the one that was played; their sections do not.
    """
    tree = {name: config[name] for name in sections}
    tree["env"] = {key: each for key, each in config["env"].items() if key not in other_backends}
    for name, definitions in used.items():
        tree[name] = {key: each for key, each in config[name].items() if key in definitions}
    return dict(leaves(tree))


def departures(ran: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Keys by which two configurations differ, and their values then and now."""
    for key in sorted({*ran, *now}):
        old, new = (str(each.get(key, "absent")) for each in (ran, now))
        if old != new:
            yield f"`{key}` {old} (now {new})"


def not_run(recorded: Path) -> Iterator[str]:
    """A paragraph on what is defined and not recorded, or not all of its runs."""
    missing = []
    for preset in sorted(file.stem for file in (ROOT / "config/presets").glob("*.yaml")):
        study = read_config(preset).study
        runs = list(files_of_runs(study))
        found = sum((recorded / study.name / run).is_file() for run in runs)
        if found < len(runs) and len(study.seeds) >= MIN_SEEDS:  # others support no finding
            missing.append(f"- preset `{preset}`, {found} of {len(runs)} runs")
    for name, experiment in defined_experiments().items():
        runs = list(files_of_runs(experiment))
        tables = recorded.glob(f"*/tables/experiment_{name}.md")
        studies = [table.parents[1] for table in tables]
        found = max((sum((each / run).is_file() for run in runs) for each in studies), default=0)
        if found < len(runs):
            missing.append(
                f"- experiment `{name}`, {found} of {len(runs)} runs: {experiment.question}"
            )
    if missing:
        yield "## Not run\n"
        yield "What is defined, and what this page has of it:\n"
        yield "\n".join(missing) + "\n"


def defined_experiments() -> dict[str, Experiment]:
    """All experiments by name: those that are always there, and those of configuration files."""
    found: dict[str, Experiment] = {}
    configs = (read_config(), *(read_config(files=[file]) for file in configuration_files()))
    for config in configs:
        for name in config.playable_experiments:
            found.setdefault(name, config.experiments[name])
    return found


def configuration_files() -> list[Path]:
    """The files that are chosen with --configfile."""
    layers = {ROOT / "config/config.yaml", ROOT / "config/experiments.yaml"}
    return sorted({*(ROOT / "config").glob("*.yaml")} - layers)


def files_of_runs(compared: Study | Experiment) -> Iterator[str]:
    """A file of each of the runs that are compared, below the folder of the study."""
    representations = compared.representations if isinstance(compared, Experiment) else ()
    for problem in compared.problems:
        for seed in compared.seeds:
            for variant in compared.variants:
                yield f"{problem}/train/{variant}/seed_{seed}/history.parquet"
            for name in representations:
                yield f"{problem}/representation/{name}/seed_{seed}/cluster_metrics.parquet"


def linked(study: Path) -> str:
    """The name of a study as a link to its section."""
    return f"[{study.name}](#study-{study.name})"


def markdown_table(header: Row, rows: Sequence[Row]) -> str:
    """A table in Markdown."""
    lines = [header, [":--"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def picture(figure: Path, folder: Path) -> str:
    """A figure in Markdown, with a link from the folder of a page."""
    return f"![{figure.stem.replace('_', ' ')}]({figure.relative_to(folder)})\n"


def without_origin(table: str) -> str:
    """A table in Markdown without the comment that says what it was made from."""
    return re.sub(r"<!--.*?-->\n?", "", table, flags=re.DOTALL)


def as_markdown(caption: str) -> str:
    """A caption of plain reStructuredText, whose names are ``literal``, as Markdown."""
    return caption.replace("``", "`")
