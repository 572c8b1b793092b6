"""Train one variant without a representation (a baseline or an oracle) on one problem and seed."""

from pathlib import Path

from entry import paths, stage

with stage("train", snakemake) as provenance:
    from trama.config.params import TrainParams, run_settings
    from trama.stages.train import train

    train(
        TrainParams.model_validate(snakemake.params.settings),
        provenance,
        vqvae=None,
        centroids=None,
        classifier=None,
        embeddings=None,
        codebook=None,
        **paths(snakemake.input, ["trajectories", "collected_learner"]),
        **paths(snakemake.output),
        checkpoint=Path(snakemake.params.checkpoint),
        run_settings=run_settings(snakemake.config, snakemake.wildcards.variant),
        threads=snakemake.threads,
    )
