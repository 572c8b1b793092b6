rule pretrain_representation:
    input:
        trajectories="results/{study}/{problem}/collect/seed_{seed}/trajectories.parquet",
        state_statistics="results/{study}/{problem}/collect/seed_{seed}/state_statistics.parquet",
    output:
        vqvae="results/{study}/{problem}/representation/{representation}/seed_{seed}/vqvae.pt",
        vqvae_history="results/{study}/{problem}/representation/{representation}/seed_{seed}/vqvae_history.parquet",
    log:
        "results/{study}/logs/pretrain_representation/{problem}/{representation}/seed_{seed}.log",
    benchmark:
        "results/{study}/benchmarks/pretrain_representation/{problem}/{representation}/seed_{seed}.tsv"
    priority: 1  # what the longest jobs wait for comes first
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.pretrain.threads
    resources:
        mem_mb=CONFIG.resources.pretrain.mem_mb,
        runtime=CONFIG.resources.pretrain.runtime,
        gpu=CONFIG.resources.pretrain.gpu,
    params:
        settings=pretrain_settings,
    message:
        "Pretrain {wildcards.representation} on {wildcards.problem}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/pretrain_representation.py"


rule pretrain:
    input:
        expand(
            rules.pretrain_representation.output,
            study=STUDY,
            problem=PROBLEMS,
            representation=PRETRAINED,
            seed=SEEDS,
        ),
    message:
        "All representations with a VQ-VAE are pretrained."
