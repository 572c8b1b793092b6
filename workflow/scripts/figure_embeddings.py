"""Draw the trajectory embeddings on one problem."""

from pathlib import Path

from entry import stage

with stage("figures", snakemake) as provenance:
    from trama.config.params import FigureParams
    from trama.data.sources import write_sources
    from trama.reporting.figures import embeddings
    from trama.reporting.statistics import by_name_and_seed

    outputs = [Path(file) for file in snakemake.output.files]
    params = FigureParams.model_validate(snakemake.params.settings)
    embeddings(
        by_name_and_seed(map(Path, snakemake.input.embeddings)),
        by_name_and_seed(map(Path, snakemake.input.cluster_metrics)),
        problem=snakemake.wildcards.problem,
        figures=params.figures,
        provenance=provenance,
        outputs=outputs,
    )
    write_sources(
        Path(snakemake.output.sources),
        made=outputs,
        inputs=map(Path, snakemake.input),
        rows="all trajectories; metric ari",
        provenance=provenance,
    )
