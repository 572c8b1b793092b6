"""Write the table of what policies make of their class on one problem."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.class_use import class_use

    table(class_use, snakemake, provenance)
