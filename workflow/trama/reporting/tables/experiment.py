"""What an experiment compares, by its measures."""

from trama.config.table_params import TableParams
from trama.reporting import comparisons, experiments, statistics
from trama.reporting.statistics import Inputs
from trama.reporting.tables.measured import Measured, estimate_text, interval_words, tidy
from trama.reporting.tables.table import INTERVALS_AT_ONCE, Table
from trama.reporting.words import MISSING


def experiment(inputs: Inputs, params: TableParams, name: str) -> Table:
    """Return the table of an experiment.

    Args:
        inputs: as `experiments.measured` reads them.
        params: of the table.
        name: of the experiment.

    Raises:
        TramaError: as `experiments.measured`.
    """
    policy, seed = params.tables.policy, statistics.bootstrap_seed(params.study_seed)
    scores = experiments.measured(
        inputs, params.measures, policy, params.task_sets, params.n_combinations
    )
    measured = {
        (problem, measure): Measured(by_name, params)
        for problem, of_problem in scores.items()
        for measure, by_name in of_problem.items()
    }
    cells, records = [], []
    for problem in params.problems:
        for compared in params.names:
            row = [problem, compared]
            for measure in params.measures:
                of_measure = measured.get((problem, measure))
                if of_measure is None or compared not in of_measure.scores:
                    row.append(MISSING)
                    continue
                of_compared = of_measure.scores[compared]
                estimate = experiments.estimate(measure, of_compared, seed)
                row.append(estimate_text(estimate, of_compared, params.tables.decimals))
                keys = {"problem": problem, "name": compared, "measure": measure}
                rows = of_measure.rows(compared, **keys)
                if measure in experiments.SHARES:
                    records.append({**keys, "statistic": "share", **estimate._asdict()})
                    rows = [row for row in rows if row["statistic"] == "seed"]
                records += rows
            cells.append(row)
    found = comparisons.comparisons(scores, params.names, params.baselines, params.start_alike)
    return Table(
        title=f"Experiment {name}",
        caption=[
            params.question,
            "Interquartile means (IQM) over seeds, or, of what is measured in test episodes (those "
            f"of the {policy} policies), over seeds and tasks; of what each seed has or has not, "
            "the share of the seeds, with its exact interval."
            f"{experiments.explained(params.measures)} {interval_words(len(params.seeds))}",
            *comparisons.told(found),
        ],
        header=["Problem", "Name", *(experiments.TITLES[measure] for measure in params.measures)],
        align="ll" + "r" * len(params.measures),
        rows=cells,
        tidy=tidy([*records, *comparisons.rows(found)], experiment=name),
        shown=f"measures {', '.join(params.measures)}; of episodes those of policy {policy}",
        at_once=INTERVALS_AT_ONCE,
    )
