"""Write the table of the predictor on one problem."""

from pathlib import Path

from entry import stage

with stage("tables", snakemake) as provenance:
    from trama.config.params import TableParams
    from trama.data.sources import write_sources
    from trama.reporting.statistics import by_name_and_seed
    from trama.reporting.tables import predictor

    outputs = [Path(file) for file in snakemake.output.files]
    params = TableParams.model_validate(snakemake.params.settings)
    predictor(
        by_name_and_seed(map(Path, snakemake.input.histories)),
        problem=snakemake.wildcards.problem,
        tables=params.tables,
        provenance=provenance,
        outputs=outputs,
    )
    write_sources(
        Path(snakemake.output.sources),
        made=outputs,
        inputs=map(Path, snakemake.input),
        rows="metrics predictor_balanced_accuracy and majority_rate, at the last test",
        provenance=provenance,
    )
