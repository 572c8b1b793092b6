"""Draw the aggregates of the study."""

from entry import figure, stage

with stage("figures", snakemake) as provenance:
    from trama.reporting.figures.aggregates import aggregates

    figure(aggregates, snakemake, provenance)
