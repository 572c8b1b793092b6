"""Print the jobs that the present configuration would run, and what they would cost."""

from collections import defaultdict
from pathlib import Path

from command import chosen_config, one_message, parser, snakemake_arguments
from plan import Planned, planned_jobs
from trama.config.model import Config
from trama.costs import Rates, benchmark_seconds, bytes_of, committed_rates, seconds_of

ROW = "{:<30} {:>5} {:>11} {:>10} {:>10} {:>9}  {}"


def main() -> None:
    """Print a table, one row per rule."""
    options = parser(__doc__ or "")
    options.add_argument("--target", default="all", help="target of the run, such as experiments")
    chosen = options.parse_args()
    arguments = [*snakemake_arguments(chosen), "--", chosen.target]
    with one_message():
        config = chosen_config(chosen)
        todo = planned_jobs(*arguments)
        everything = planned_jobs("--forceall", *arguments)
    for line in estimate(config, todo, everything, committed_rates()):
        print(line)


def estimate(
    config: Config, todo: list[Planned], everything: list[Planned], rates: Rates
) -> list[str]:
    """Lines of a table of the jobs to do, which are some of `everything` of the study."""
    factors = _factors(config, todo, everything, rates)
    rules: dict[str, list[float]] = defaultdict(lambda: [0.0] * 5)
    for job, threads, gpus in todo:
        hours = seconds_of(config, job, rates) * factors.get(job.rule, 1.0) / 3600
        size = bytes_of(config, job, rates) / 1e6
        for row in (rules[job.rule], rules["total"]):
            for i, value in enumerate((1, hours, hours * threads, hours * gpus, size)):
                row[i] += value
    if not todo:
        return [f"Study {config.study.name}: nothing is left to be done."]
    total = rules.pop("total")
    lines = [ROW.format("rule", "jobs", "wall hours", "CPU-hours", "GPU-hours", "disk MB", "from")]
    for rule, row in rules.items():
        lines.append(_line(rule, row, "this study" if rule in factors else "rates"))
    return [
        f"Study {config.study.name}: {len(todo)} of {len(everything)} jobs are to be done.",
        *lines,
        _line("total", total, ""),
        "An estimate: hours are those that jobs hold their threads and GPUs, from the benchmark "
        "files of this study where a",
        f"finished job of the rule has one, else from rates that were measured on {rates.machine}.",
    ]


def _factors(
    config: Config, todo: list[Planned], everything: list[Planned], rates: Rates
) -> dict[str, float]:
    """What finished jobs took over what the rates say, by rule.

    A finished job that is not to be run again ran with the present configuration.
    """
    folder = Path("results", config.study.name)
    measured: dict[str, float] = defaultdict(float)
    expected: dict[str, float] = defaultdict(float)
    again = [planned.job for planned in todo]
    for job, _, _ in everything:
        seconds = None if job in again else benchmark_seconds(folder, job)
        if seconds is not None:
            measured[job.rule] += seconds
            expected[job.rule] += seconds_of(config, job, rates)
    return {rule: measured[rule] / expected[rule] for rule in measured}


def _line(name: str, row: list[float], origin: str) -> str:
    jobs, wall, cpu, gpu, size = row
    return ROW.format(
        name, f"{jobs:.0f}", f"{wall:.2f}", f"{cpu:.2f}", f"{gpu:.2f}", f"{size:.0f}", origin
    ).rstrip()


if __name__ == "__main__":
    main()
