"""Write the table of the sets of tasks that one problem does not train on."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.ood import ood

    table(ood, snakemake, provenance)
