"""Write the table of the paper's claims, each with a verdict."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.claims import claims

    table(claims, snakemake, provenance)
