"""Measure the rates of `estimate` in a finished study, and write them to the library."""

from pathlib import Path

from command import chosen_config, one_message, parser, snakemake_arguments
from plan import planned_jobs
from trama.costs import RATES, measured_rates
from trama.errors import TramaError


def main() -> None:
    """Write costs.json from the finished study of the configuration."""
    options = parser(__doc__ or "")
    options.add_argument("--machine", required=True, help="where it ran, in words")
    chosen = options.parse_args()
    arguments = snakemake_arguments(chosen)
    with one_message():
        config = chosen_config(chosen)
        if planned_jobs(*arguments):
            raise TramaError(f"results/{config.study.name}: not finished; run `make` first")
        jobs = [planned.job for planned in planned_jobs("--forceall", *arguments)]
        folder = Path("results", config.study.name)
        rates = measured_rates(config, folder, jobs, chosen.machine)
    RATES.write_text(rates.model_dump_json(indent=1) + "\n", encoding="utf-8")
    print(f"{RATES}: rates from {len(jobs)} jobs")


if __name__ == "__main__":
    main()
