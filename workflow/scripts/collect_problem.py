"""Collect baseline trajectories of one problem and seed."""

from entry import paths, stage

with stage("collect", snakemake) as provenance:
    from trama.config.params import CollectParams, run_settings
    from trama.stages.collect import collect

    collect(
        CollectParams.model_validate(snakemake.params.settings),
        provenance,
        **paths(snakemake.output),
        run_settings=run_settings(snakemake.config),
        threads=snakemake.threads,
    )
