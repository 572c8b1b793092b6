"""Write the table of clusterings on one problem."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.clusters import clusters

    table(clusters, snakemake, provenance)
