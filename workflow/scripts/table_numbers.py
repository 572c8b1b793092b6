"""Write the study's numbers as LaTeX macros."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.numbers import numbers

    table(numbers, snakemake, provenance)
