rule collect_problem:
    input:
        **CHECKS,
    output:
        trajectories="results/{study}/{problem}/collect/seed_{seed}/trajectories.parquet",
        state_statistics="results/{study}/{problem}/collect/seed_{seed}/state_statistics.parquet",
        history="results/{study}/{problem}/collect/seed_{seed}/history.parquet",
        learner="results/{study}/{problem}/collect/seed_{seed}/learner.pt",
        timing="results/{study}/{problem}/collect/seed_{seed}/timing.parquet",
    log:
        "results/{study}/logs/collect_problem/{problem}/seed_{seed}.log",
    benchmark:
        "results/{study}/benchmarks/collect_problem/{problem}/seed_{seed}.tsv"
    conda:
        PLAYING
    threads: CONFIG.resources.collect.threads
    resources:
        mem_mb=CONFIG.resources.collect.mem_mb,
        runtime=CONFIG.resources.collect.runtime,
        gpu=CONFIG.resources.collect.gpu,
    params:
        settings=collect_settings,
    message:
        "Collect baseline trajectories of {wildcards.problem}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/collect_problem.py"


rule collect:
    input:
        expand(
            rules.collect_problem.output,
            study=STUDY,
            problem=PROBLEMS,
            seed=SEEDS,
        ),
    message:
        "All baseline trajectories are there."
