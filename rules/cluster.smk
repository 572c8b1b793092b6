rule cluster_representation:
    input:
        unpack(cluster_vqvae),
        trajectories="results/{study}/{problem}/collect/seed_{seed}/trajectories.parquet",
        state_statistics="results/{study}/{problem}/collect/seed_{seed}/state_statistics.parquet",
    output:
        embeddings="results/{study}/{problem}/representation/{representation}/seed_{seed}/embeddings.parquet",
        centroids="results/{study}/{problem}/representation/{representation}/seed_{seed}/centroids.parquet",
        classifier="results/{study}/{problem}/representation/{representation}/seed_{seed}/classifier.pt",
        cluster_metrics="results/{study}/{problem}/representation/{representation}/seed_{seed}/cluster_metrics.parquet",
        codebook="results/{study}/{problem}/representation/{representation}/seed_{seed}/codebook.parquet",
        class_numbers="results/{study}/{problem}/representation/{representation}/seed_{seed}/class_numbers.parquet",
    log:
        "results/{study}/logs/cluster_representation/{problem}/{representation}/seed_{seed}.log",
    benchmark:
        "results/{study}/benchmarks/cluster_representation/{problem}/{representation}/seed_{seed}.tsv"
    priority: 1  # what the longest jobs wait for comes first
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.cluster.threads
    resources:
        mem_mb=CONFIG.resources.cluster.mem_mb,
        runtime=CONFIG.resources.cluster.runtime,
        gpu=CONFIG.resources.cluster.gpu,
    params:
        settings=cluster_settings,
    message:
        "Cluster {wildcards.representation} on {wildcards.problem}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/cluster_representation.py"


rule cluster:
    input:
        expand(
            rules.cluster_representation.output,
            study=STUDY,
            problem=PROBLEMS,
            representation=REPRESENTATIONS,
            seed=SEEDS,
        ),
    message:
        "All representations are clustered."
