rule train:
    input:
        expand(
            "results/{study}/{problem}/train/{variant}/seed_{seed}/policy_last.pt",
            study=STUDY,
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
    message:
        "All variants are trained."


rule train_baseline:
    input:
        state_statistics="results/{study}/{problem}/collect/seed_{seed}/state_statistics.parquet",
    output:
        policy_last="results/{study}/{problem}/train/{variant}/seed_{seed}/policy_last.pt",
        policy_best="results/{study}/{problem}/train/{variant}/seed_{seed}/policy_best.pt",
        history="results/{study}/{problem}/train/{variant}/seed_{seed}/history.parquet",
        timing="results/{study}/{problem}/train/{variant}/seed_{seed}/timing.parquet",
    log:
        "results/{study}/logs/train_baseline/{problem}_{variant}_seed_{seed}.log",
    benchmark:
        "results/{study}/benchmarks/train_baseline/{problem}_{variant}_seed_{seed}.tsv"
    wildcard_constraints:
        variant=any_of(BASELINES),
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.train.threads
    resources:
        mem_mb=CONFIG.resources.train.mem_mb,
        runtime=CONFIG.resources.train.runtime,
        gpu=CONFIG.resources.train.gpu,
    params:
        settings=train_settings,
    message:
        "Train baseline {wildcards.variant} on {wildcards.problem}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/train_baseline.py"


rule train_trama:
    input:
        unpack(train_representation),
        state_statistics="results/{study}/{problem}/collect/seed_{seed}/state_statistics.parquet",
    output:
        policy_last="results/{study}/{problem}/train/{variant}/seed_{seed}/policy_last.pt",
        policy_best="results/{study}/{problem}/train/{variant}/seed_{seed}/policy_best.pt",
        history="results/{study}/{problem}/train/{variant}/seed_{seed}/history.parquet",
        embeddings="results/{study}/{problem}/train/{variant}/seed_{seed}/embeddings.parquet",
        timing="results/{study}/{problem}/train/{variant}/seed_{seed}/timing.parquet",
    log:
        "results/{study}/logs/train_trama/{problem}_{variant}_seed_{seed}.log",
    benchmark:
        "results/{study}/benchmarks/train_trama/{problem}_{variant}_seed_{seed}.tsv"
    wildcard_constraints:
        variant=any_of(WITH_CLASSES),
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.train.threads
    resources:
        mem_mb=CONFIG.resources.train.mem_mb,
        runtime=CONFIG.resources.train.runtime,
        gpu=CONFIG.resources.train.gpu,
    params:
        settings=train_settings,
    message:
        "Train {wildcards.variant} on {wildcards.problem}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/train_trama.py"
