"""Write the table of the study's hyperparameters."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.hyperparameters import hyperparameters

    table(hyperparameters, snakemake, provenance)
