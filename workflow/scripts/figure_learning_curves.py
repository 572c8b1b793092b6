"""Draw the learning curves on one problem."""

from entry import figure, stage

with stage("figures", snakemake) as provenance:
    from trama.reporting.figures.learning_curves import learning_curves

    figure(learning_curves, snakemake, provenance)
