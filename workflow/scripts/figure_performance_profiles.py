"""Draw the performance profiles of the study."""

from entry import figure, stage

with stage("figures", snakemake) as provenance:
    from trama.reporting.figures.performance_profiles import performance_profiles

    figure(performance_profiles, snakemake, provenance)
