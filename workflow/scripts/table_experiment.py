"""Write the table of an experiment."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.experiment import experiment

    table(experiment, snakemake, provenance)
