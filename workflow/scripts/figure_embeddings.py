"""Draw the embeddings on one problem."""

from entry import figure, stage

with stage("figures", snakemake) as provenance:
    from trama.reporting.figures.embeddings import embeddings

    figure(embeddings, snakemake, provenance)
