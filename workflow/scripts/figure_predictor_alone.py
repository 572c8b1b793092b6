"""Draw the accuracy of the class predictor alone on one problem."""

from entry import figure, stage

with stage("figures", snakemake) as provenance:
    from trama.reporting.figures.predictor_alone import predictor_alone

    figure(predictor_alone, snakemake, provenance)
