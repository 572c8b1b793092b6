"""Train the class predictor alone on the trajectories of one problem and seed."""

from entry import paths, stage

with stage("predict", snakemake) as provenance:
    from trama.config.params import PredictParams
    from trama.stages.predict import predict

    predict(
        PredictParams.model_validate(snakemake.params.settings),
        provenance,
        **paths(snakemake.input),
        **paths(snakemake.output),
        threads=snakemake.threads,
    )
