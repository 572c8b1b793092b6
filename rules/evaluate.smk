rule evaluate_variant:
    input:
        policy_last="results/{study}/{problem}/train/{variant}/seed_{seed}/policy_last.pt",
        policy_best="results/{study}/{problem}/train/{variant}/seed_{seed}/policy_best.pt",
    output:
        episodes="results/{study}/{problem}/evaluate/{variant}/seed_{seed}/episodes.parquet",
        predictions="results/{study}/{problem}/evaluate/{variant}/seed_{seed}/predictions.parquet",
        given_classes="results/{study}/{problem}/evaluate/{variant}/seed_{seed}/given_classes.parquet",
        fallback="results/{study}/{problem}/evaluate/{variant}/seed_{seed}/fallback.parquet",
    log:
        "results/{study}/logs/evaluate_variant/{problem}/{variant}/seed_{seed}.log",
    benchmark:
        "results/{study}/benchmarks/evaluate_variant/{problem}/{variant}/seed_{seed}.tsv"
    conda:
        PLAYING
    threads: CONFIG.resources.evaluate.threads
    resources:
        mem_mb=CONFIG.resources.evaluate.mem_mb,
        runtime=CONFIG.resources.evaluate.runtime,
        gpu=CONFIG.resources.evaluate.gpu,
    params:
        settings=evaluate_settings,
    message:
        "Evaluate {wildcards.variant} on {wildcards.problem}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/evaluate_variant.py"


rule evaluate:
    input:
        expand(
            rules.evaluate_variant.output,
            study=STUDY,
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
    message:
        "All policies are evaluated."
