"""Write the table of what the study's jobs took."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.compute import compute

    table(compute, snakemake, provenance)
