"""Draw the win rates per task on one problem."""

from entry import figure, stage

with stage("figures", snakemake) as provenance:
    from trama.reporting.figures.task_win_rates import task_win_rates

    figure(task_win_rates, snakemake, provenance)
