"""Write the table of label consistency on one problem."""

from entry import stage, table

with stage("tables", snakemake) as provenance:
    from trama.reporting.tables.label_consistency import label_consistency

    table(label_consistency, snakemake, provenance)
