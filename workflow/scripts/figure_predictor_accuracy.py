"""Draw the predictor's accuracy over time steps on one problem."""

from pathlib import Path

from entry import stage

with stage("figures", snakemake) as provenance:
    from trama.config.params import FigureParams
    from trama.data.sources import write_sources
    from trama.reporting.figures import predictor_accuracy
    from trama.reporting.statistics import by_name_and_seed

    outputs = [Path(file) for file in snakemake.output.files]
    params = FigureParams.model_validate(snakemake.params.settings)
    predictor_accuracy(
        by_name_and_seed(map(Path, snakemake.input.histories)),
        problem=snakemake.wildcards.problem,
        variants=params.names,
        figures=params.figures,
        provenance=provenance,
        outputs=outputs,
    )
    write_sources(
        Path(snakemake.output.sources),
        made=outputs,
        inputs=map(Path, snakemake.input),
        rows="metrics predictor_accuracy by time step and majority_rate, at the last test",
        provenance=provenance,
    )
