"""Write the table of all variants beside the study's reference."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.ablations import ablations

    table(ablations, snakemake, provenance)
