"""Collect baseline trajectories of one problem and seed."""

from entry import paths, stage

with stage("collect", snakemake) as provenance:
    from trama.config.params import CollectParams
    from trama.stages.collect import collect

    collect(
        CollectParams.model_validate(snakemake.params.settings),
        provenance,
        **paths(snakemake.input),
        **paths(snakemake.output),
        threads=snakemake.threads,
    )
