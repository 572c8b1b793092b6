"""Train one variant that starts from a representation on one problem and seed."""

from pathlib import Path

from entry import paths, stage

with stage("train", snakemake) as provenance:
    from trama.config.params import TrainParams, run_settings
    from trama.stages.train import train

    train(
        TrainParams.model_validate(snakemake.params.settings),
        provenance,
        **paths(
            snakemake.input,
            ["trajectories", "collected_learner", "vqvae", "centroids", "classifier"],
        ),
        **paths(snakemake.output),
        checkpoint=Path(snakemake.params.checkpoint),
        run_settings=run_settings(snakemake.config, snakemake.wildcards.variant),
        threads=snakemake.threads,
    )
