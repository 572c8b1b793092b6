"""Check that StarCraft II runs where this job does."""

from entry import paths, stage

with stage("check_starcraft", snakemake):
    from trama.config.params import CheckStarcraftParams, run_settings
    from trama.stages.check_starcraft import check_starcraft

    check_starcraft(
        CheckStarcraftParams.model_validate(snakemake.params.settings),
        **paths(snakemake.output),
        run_settings=run_settings(snakemake.config),
    )
