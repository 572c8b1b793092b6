"""Write the table of the detection of tasks that were not trained on, on one problem."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.novelty import novelty

    table(novelty, snakemake, provenance)
