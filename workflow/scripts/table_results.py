"""Write the table of results on one problem."""

from pathlib import Path

from entry import stage

with stage("tables", snakemake) as provenance:
    from trama.config.params import TableParams
    from trama.data.sources import write_sources
    from trama.reporting.statistics import by_name_and_seed
    from trama.reporting.tables import results

    outputs = [Path(file) for file in snakemake.output.files]
    params = TableParams.model_validate(snakemake.params.settings)
    results(
        by_name_and_seed(map(Path, snakemake.input.episodes)),
        problem=snakemake.wildcards.problem,
        tables=params.tables,
        provenance=provenance,
        outputs=outputs,
    )
    write_sources(
        Path(snakemake.output.sources),
        made=outputs,
        inputs=map(Path, snakemake.input),
        rows=f"policy {params.tables.policy}, task set trained",
        provenance=provenance,
    )
