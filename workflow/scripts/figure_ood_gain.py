"""Draw the gain against similarity on one problem."""

from entry import figure, stage

with stage("figures", snakemake) as provenance:
    from trama.reporting.figures.ood_gain import ood_gain

    figure(ood_gain, snakemake, provenance)
