"""Draw the predictor's accuracy on one problem."""

from entry import figure, stage

with stage("figures", snakemake) as provenance:
    from trama.reporting.figures.predictor_accuracy import predictor_accuracy

    figure(predictor_accuracy, snakemake, provenance)
