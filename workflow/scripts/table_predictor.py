"""Write the table of the predictor on one problem."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.predictor import predictor

    table(predictor, snakemake, provenance)
