"""Draw the label consistency on one problem."""

from entry import figure, stage

with stage("figures", snakemake) as provenance:
    from trama.reporting.figures.label_consistency import label_consistency

    figure(label_consistency, snakemake, provenance)
