"""Write the table of the class predictor alone on one problem."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.predictor_alone import predictor_alone

    table(predictor_alone, snakemake, provenance)
