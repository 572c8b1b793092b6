"""Evaluate the policies of one variant, problem and seed."""

from entry import paths, stage

with stage("evaluate", snakemake) as provenance:
    from trama.config.params import EvaluateParams, run_settings
    from trama.stages.evaluate import evaluate

    evaluate(
        EvaluateParams.model_validate(snakemake.params.settings),
        provenance,
        **paths(snakemake.input),
        **paths(snakemake.output),
        threads=snakemake.threads,
        run_settings=run_settings(snakemake.config),
    )
