"""Draw the predicted classes on each task on one problem."""

from entry import figure, stage

with stage("figures", snakemake) as provenance:
    from trama.reporting.figures.predictor_confusion import predictor_confusion

    figure(predictor_confusion, snakemake, provenance)
