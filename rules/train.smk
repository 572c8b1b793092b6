rule train_without_representation:
    input:
        unpack(initial_learning),
        state_statistics="results/{study}/{problem}/collect/seed_{seed}/state_statistics.parquet",
    output:
        policy_last="results/{study}/{problem}/train/{variant}/seed_{seed}/policy_last.pt",
        policy_best="results/{study}/{problem}/train/{variant}/seed_{seed}/policy_best.pt",
        history="results/{study}/{problem}/train/{variant}/seed_{seed}/history.parquet",
        timing="results/{study}/{problem}/train/{variant}/seed_{seed}/timing.parquet",
    log:
        "results/{study}/logs/train_without_representation/{problem}/{variant}/seed_{seed}.log",
    benchmark:
        "results/{study}/benchmarks/train_without_representation/{problem}/{variant}/seed_{seed}.tsv"
    wildcard_constraints:
        variant=any_of(WITHOUT_REPRESENTATION),
    conda:
        PLAYING
    threads: CONFIG.resources.train.threads
    resources:
        mem_mb=CONFIG.resources.train.mem_mb,
        runtime=CONFIG.resources.train.runtime,
        gpu=CONFIG.resources.train.gpu,
    params:
        settings=train_settings,
        checkpoint=train_checkpoint,
    message:
        "Train {wildcards.variant} on {wildcards.problem}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/train_without_representation.py"


rule train_with_representation:
    input:
        unpack(initial_representation),
        unpack(initial_learning),
        state_statistics="results/{study}/{problem}/collect/seed_{seed}/state_statistics.parquet",
    output:
        policy_last="results/{study}/{problem}/train/{variant}/seed_{seed}/policy_last.pt",
        policy_best="results/{study}/{problem}/train/{variant}/seed_{seed}/policy_best.pt",
        history="results/{study}/{problem}/train/{variant}/seed_{seed}/history.parquet",
        embeddings="results/{study}/{problem}/train/{variant}/seed_{seed}/embeddings.parquet",
        codebook="results/{study}/{problem}/train/{variant}/seed_{seed}/codebook.parquet",
        timing="results/{study}/{problem}/train/{variant}/seed_{seed}/timing.parquet",
    log:
        "results/{study}/logs/train_with_representation/{problem}/{variant}/seed_{seed}.log",
    benchmark:
        "results/{study}/benchmarks/train_with_representation/{problem}/{variant}/seed_{seed}.tsv"
    wildcard_constraints:
        variant=any_of(WITH_REPRESENTATION),
    priority: 1  # the longest jobs come first
    conda:
        PLAYING
    threads: CONFIG.resources.train.threads
    resources:
        mem_mb=CONFIG.resources.train.mem_mb,
        runtime=CONFIG.resources.train.runtime,
        gpu=CONFIG.resources.train.gpu,
    params:
        settings=train_settings,
        checkpoint=train_checkpoint,
    message:
        "Train {wildcards.variant} on {wildcards.problem}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/train_with_representation.py"


rule train:
    input:
        expand(
            rules.train_without_representation.output,
            study=STUDY,
            problem=PROBLEMS,
            variant=[name for name in VARIANTS if name in WITHOUT_REPRESENTATION],
            seed=SEEDS,
        ),
        expand(
            rules.train_with_representation.output,
            study=STUDY,
            problem=PROBLEMS,
            variant=[name for name in VARIANTS if name in WITH_REPRESENTATION],
            seed=SEEDS,
        ),
    message:
        "All variants are trained."
