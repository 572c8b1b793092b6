"""Draw the figure of an experiment."""

from entry import figure, stage

with stage("figures", snakemake) as provenance:
    from trama.reporting.figures.experiment import experiment

    figure(experiment, snakemake, provenance)
