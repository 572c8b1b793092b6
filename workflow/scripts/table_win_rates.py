"""Write the table of all variants' win rates by problem."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.win_rates import win_rates

    table(win_rates, snakemake, provenance)
