"""Train one variant that starts from a representation on one problem and seed."""

from entry import paths, stage

with stage("train", snakemake) as provenance:
    from trama.config.params import TrainParams
    from trama.stages.train import train

    train(
        TrainParams.model_validate(snakemake.params.settings),
        provenance,
        **paths(snakemake.input, optional=["vqvae"]),
        **paths(snakemake.output),
        threads=snakemake.threads,
    )
