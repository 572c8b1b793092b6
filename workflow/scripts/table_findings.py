"""Write the main findings of the study, for the first page of Snakemake's report."""

from pathlib import Path

from entry import inputs, of, stage

with stage("tables", snakemake) as provenance:
    from trama.config.table_params import TableParams
    from trama.reporting.tables.findings import write_findings

    write_findings(
        inputs(snakemake),
        TableParams.model_validate(snakemake.params.settings),
        of(snakemake),
        text=Path(snakemake.output.text),
        sources=Path(snakemake.output.sources),
        provenance=provenance,
    )
