"""Draw the use of the codes on one problem."""

from entry import figure, stage

with stage("figures", snakemake) as provenance:
    from trama.reporting.figures.codebook import codebook

    figure(codebook, snakemake, provenance)
