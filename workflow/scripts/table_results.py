"""Write the table of results on one problem."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.results import results

    table(results, snakemake, provenance)
