"""Win rates of all variants: by problem and over all, what classes gain, and what still rose."""

from trama.config.problems import TRAINED
from trama.config.table_params import TableParams
from trama.reporting import statistics, words
from trama.reporting.statistics import Inputs
from trama.reporting.tables.measured import Measured, interval_words, tidy
from trama.reporting.tables.table import INTERVALS_AT_ONCE, Table

_ALL = "All problems"


def win_rates(inputs: Inputs, params: TableParams, study: str) -> Table:
    """Return the table of the win rates of a study.

    Args:
        inputs: `episodes` and `histories` of each problem, variant and seed.
        params: of the table, with `baselines`.
        study: its name.

    Raises:
        TramaError: a file is missing, broken or lacks what is shown, or evaluations differ in
            tasks.
    """
    policy = params.tables.policy
    episodes = statistics.read_episodes(inputs["episodes"])
    histories = statistics.by_problem(inputs["histories"])
    scores = statistics.scores(episodes, policy, "win_rate")
    columns = {}
    for problem in dict.fromkeys(scores.problems):
        own = [i for i, each in enumerate(scores.problems) if each == problem]
        columns[problem] = Measured(statistics.known(scores.values, own), params)
    if len(columns) > 1:
        columns[_ALL] = Measured(scores.values, params, scores.problems)
    rises = {
        name: statistics.over_problems(
            histories, name, lambda files: statistics.rises(files, "test_win_rate")
        )
        for name in params.names
    }
    known = {name: of for name, of in rises.items() if of is not None}
    rise = Measured(known, params, [*histories])
    last = [*columns][-1]
    gains = words.listed({name: f"over ``{over}``" for name, over in params.baselines.items()})
    of_gains = (
        " Gain: in the column before, over the variant without classes that has the same mixer, "
        f"and if possible the same settings, wherever it starts from: {gains}."
        if gains
        else ""
    )
    rows, records = [], []
    for variant in params.names:
        cells = [each.cell(variant, "iqm", bold=True) for each in columns.values()]
        over = params.baselines.get(variant)
        gain = columns[last].gain_cell(variant, over, "iqm")
        rows.append([variant, *cells, gain, rise.cell(variant, "mean")])
        for problem, measured in columns.items():
            keys = {"problem": problem, "variant": variant, "metric": "win_rate"}
            records += measured.rows(variant, **keys)
        keys = {"problem": last, "variant": variant}
        records += columns[last].gain_rows(variant, over, **keys, metric="win_rate_gain")
        records += rise.rows(variant, **keys, metric="win_rate_rise")
    played = words.episodes(statistics.of_sets(episodes, policy, TRAINED))
    overall = (
        f" {_ALL}: over the tasks of all, so that a problem counts by its tasks."
        if len(histories) > 1
        else ""
    )
    return Table(
        title=f"Study {study}: win rates by problem",
        caption=[
            f"Greedy evaluation of the {policy} policies: interquartile mean (IQM) of the win rate "
            f"over seeds and tasks, of {played} per seed and task.{overall}{of_gains} Last fifth: "
            "what the win rate of the tests gained after four fifths of a training's env steps, as "
            "a mean over seeds and problems; with an interval above zero, policies still learnt at "
            f"the end. {interval_words(len(params.seeds), bold=True)}"
        ],
        header=["Variant", *columns, "Gain", "Last fifth"],
        align="l" + "r" * (len(columns) + 2),
        rows=rows,
        tidy=tidy(records, study=study, policy=policy),
        shown=f"policy {policy}, task set trained",
        at_once=INTERVALS_AT_ONCE,
    )
