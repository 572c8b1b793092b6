"""Write the table of what the parts of the study's trainings cost."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.cost import cost

    table(cost, snakemake, provenance)
