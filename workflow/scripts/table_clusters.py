"""Write the table of clusterings on one problem."""

from pathlib import Path

from entry import stage

with stage("tables", snakemake) as provenance:
    from trama.config.params import TableParams
    from trama.reporting.statistics import by_name_and_seed
    from trama.reporting.tables import clusters

    params = TableParams.model_validate(snakemake.params.settings)
    clusters(
        by_name_and_seed(map(Path, snakemake.input.cluster_metrics)),
        problem=snakemake.wildcards.problem,
        tables=params.tables,
        provenance=provenance,
        outputs=[Path(file) for file in snakemake.output],
    )
