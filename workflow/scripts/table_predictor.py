"""Write the table of the predictor on one problem."""

from pathlib import Path

from entry import stage

with stage("tables", snakemake) as provenance:
    from trama.config.params import TableParams
    from trama.reporting.statistics import by_name_and_seed
    from trama.reporting.tables import predictor

    params = TableParams.model_validate(snakemake.params.settings)
    predictor(
        by_name_and_seed(map(Path, snakemake.input.histories)),
        problem=snakemake.wildcards.problem,
        tables=params.tables,
        provenance=provenance,
        outputs=[Path(file) for file in snakemake.output],
    )
