"""Write the table of what falling back on no class brings, on one problem."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.fallback import fallback

    table(fallback, snakemake, provenance)
