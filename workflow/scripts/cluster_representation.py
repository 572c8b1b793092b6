"""Cluster the trajectories of one representation, problem and seed."""

from entry import paths, stage

with stage("cluster", snakemake) as provenance:
    from trama.config.params import ClusterParams
    from trama.stages.cluster import cluster

    cluster(
        ClusterParams.model_validate(snakemake.params.settings),
        provenance,
        **paths(snakemake.input, optional=["vqvae"]),
        **paths(snakemake.output),
    )
