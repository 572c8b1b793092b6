"""Pretrain the VQ-VAE of one representation, problem and seed."""

from entry import paths, stage

with stage("pretrain", snakemake) as provenance:
    from trama.config.params import PretrainParams
    from trama.stages.pretrain import pretrain

    pretrain(
        PretrainParams.model_validate(snakemake.params.settings),
        provenance,
        **paths(snakemake.input),
        **paths(snakemake.output),
    )
