# A table is a matter of seconds: no node is asked for it.
localrules:
    table_results,
    table_ood,
    table_ood_tasks,
    table_clusters,
    table_predictor,
    table_predictor_alone,
    table_class_use,
    table_novelty,
    table_fallback,
    table_label_consistency,
    table_win_rates,
    table_ablations,
    table_claims,
    table_hyperparameters,
    table_compute,
    table_cost,
    table_numbers,
    table_findings,


rule tables:
    input:
        expand(
            "results/{study}/tables/{problem}_{name}.{suffix}",
            study=STUDY,
            problem=PROBLEMS,
            name=TABLES,
            suffix=TABLE_FORMATS + CAPTION + SOURCES,
        ),
        expand(
            "results/{study}/tables/{table}.{suffix}",
            study=STUDY,
            table=[*expand("study_{name}", name=STUDY_TABLES), "numbers"],
            suffix=TABLE_FORMATS + CAPTION + SOURCES,
        ),
        expand("results/{study}/tables/findings.{suffix}", study=STUDY, suffix=["rst", *SOURCES]),
    message:
        "All tables are written."


rule table_results:
    input:
        episodes=expand(
            "results/{{study}}/{{problem}}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            variant=VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=table_files("results"),
        caption=caption_file("table", "results"),
        sources=sources_file("table", "results"),
    log:
        "results/{study}/logs/table_results/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/table_results/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_problem(table_params.results_params),
    message:
        "Write the table of results on {wildcards.problem}"
    script:
        "../workflow/scripts/table_results.py"


rule table_ood:
    input:
        episodes=expand(
            "results/{{study}}/{{problem}}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            variant=VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=table_files("ood"),
        caption=caption_file("table", "ood"),
        sources=sources_file("table", "ood"),
    log:
        "results/{study}/logs/table_ood/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/table_ood/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_problem(table_params.ood_params),
    message:
        "Write the table of task sets on {wildcards.problem}"
    script:
        "../workflow/scripts/table_ood.py"


rule table_ood_tasks:
    input:
        episodes=expand(
            "results/{{study}}/{{problem}}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            variant=VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=table_files("ood_tasks"),
        caption=caption_file("table", "ood_tasks"),
        sources=sources_file("table", "ood_tasks"),
    log:
        "results/{study}/logs/table_ood_tasks/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/table_ood_tasks/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_problem(table_params.ood_params),
    message:
        "Write the table of OOD tasks on {wildcards.problem}"
    script:
        "../workflow/scripts/table_ood_tasks.py"


rule table_clusters:
    input:
        cluster_metrics=expand(
            "results/{{study}}/{{problem}}/representation/{representation}/seed_{seed}/cluster_metrics.parquet",
            representation=REPRESENTATIONS,
            seed=SEEDS,
        ),
    output:
        files=table_files("clusters"),
        caption=caption_file("table", "clusters"),
        sources=sources_file("table", "clusters"),
    log:
        "results/{study}/logs/table_clusters/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/table_clusters/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_problem(table_params.clusters_params),
    message:
        "Write the table of clusters on {wildcards.problem}"
    script:
        "../workflow/scripts/table_clusters.py"


rule table_predictor:
    input:
        histories=expand(
            "results/{{study}}/{{problem}}/train/{variant}/seed_{seed}/history.parquet",
            variant=CLASS_VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=table_files("predictor"),
        caption=caption_file("table", "predictor"),
        sources=sources_file("table", "predictor"),
    log:
        "results/{study}/logs/table_predictor/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/table_predictor/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_problem(table_params.predictor_params),
    message:
        "Write the table of the predictor on {wildcards.problem}"
    script:
        "../workflow/scripts/table_predictor.py"


rule table_predictor_alone:
    input:
        accuracies=expand(
            "results/{{study}}/{{problem}}/representation/{representation}/seed_{seed}/predictor_accuracy.parquet",
            representation=REPRESENTATIONS,
            seed=SEEDS,
        ),
    output:
        files=table_files("predictor_alone"),
        caption=caption_file("table", "predictor_alone"),
        sources=sources_file("table", "predictor_alone"),
    log:
        "results/{study}/logs/table_predictor_alone/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/table_predictor_alone/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_problem(table_params.predictor_alone_params),
    message:
        "Write the table of the class predictor alone on {wildcards.problem}"
    script:
        "../workflow/scripts/table_predictor_alone.py"


rule table_class_use:
    input:
        episodes=expand(
            "results/{{study}}/{{problem}}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            variant=CLASS_VARIANTS,
            seed=SEEDS,
        ),
        given_classes=expand(
            "results/{{study}}/{{problem}}/evaluate/{variant}/seed_{seed}/given_classes.parquet",
            variant=CLASS_VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=table_files("class_use"),
        caption=caption_file("table", "class_use"),
        sources=sources_file("table", "class_use"),
    log:
        "results/{study}/logs/table_class_use/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/table_class_use/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_problem(table_params.class_use_params),
    message:
        "Write the table of what policies make of their class on {wildcards.problem}"
    script:
        "../workflow/scripts/table_class_use.py"


rule table_novelty:
    input:
        episodes=expand(
            "results/{{study}}/{{problem}}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            variant=CLASS_VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=table_files("novelty"),
        caption=caption_file("table", "novelty"),
        sources=sources_file("table", "novelty"),
    log:
        "results/{study}/logs/table_novelty/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/table_novelty/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_problem(table_params.novelty_params),
    message:
        "Write the table of the detection of OOD tasks on {wildcards.problem}"
    script:
        "../workflow/scripts/table_novelty.py"


rule table_fallback:
    input:
        episodes=expand(
            "results/{{study}}/{{problem}}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            variant=BESIDE_FALLBACK,
            seed=SEEDS,
        ),
        fallback=expand(
            "results/{{study}}/{{problem}}/evaluate/{variant}/seed_{seed}/fallback.parquet",
            variant=FALLBACK_VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=table_files("fallback"),
        caption=caption_file("table", "fallback"),
        sources=sources_file("table", "fallback"),
    log:
        "results/{study}/logs/table_fallback/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/table_fallback/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_problem(table_params.fallback_params),
    message:
        "Write the table of falling back on no class on {wildcards.problem}"
    script:
        "../workflow/scripts/table_fallback.py"


rule table_label_consistency:
    input:
        histories=expand(
            "results/{{study}}/{{problem}}/train/{variant}/seed_{seed}/history.parquet",
            variant=CLUSTER_VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=table_files("label_consistency"),
        caption=caption_file("table", "label_consistency"),
        sources=sources_file("table", "label_consistency"),
    log:
        "results/{study}/logs/table_label_consistency/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/table_label_consistency/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_problem(table_params.label_consistency_params),
    message:
        "Write the table of label consistency on {wildcards.problem}"
    script:
        "../workflow/scripts/table_label_consistency.py"


rule table_win_rates:
    input:
        episodes=expand(
            "results/{{study}}/{problem}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
        histories=expand(
            "results/{{study}}/{problem}/train/{variant}/seed_{seed}/history.parquet",
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=table_files("win_rates", of="study"),
        caption=caption_file("table", "win_rates", of="study"),
        sources=sources_file("table", "win_rates", of="study"),
    log:
        "results/{study}/logs/table_win_rates.log",
    benchmark:
        "results/{study}/benchmarks/table_win_rates.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_study(table_params.win_rates_params),
    message:
        "Write the table of win rates by problem"
    script:
        "../workflow/scripts/table_win_rates.py"


rule table_ablations:
    input:
        episodes=expand(
            "results/{{study}}/{problem}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=table_files("ablations", of="study"),
        caption=caption_file("table", "ablations", of="study"),
        sources=sources_file("table", "ablations", of="study"),
    log:
        "results/{study}/logs/table_ablations.log",
    benchmark:
        "results/{study}/benchmarks/table_ablations.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_study(table_params.ablations_params),
    message:
        "Write the table of ablations"
    script:
        "../workflow/scripts/table_ablations.py"


rule table_claims:
    input:
        episodes=expand(
            "results/{{study}}/{problem}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
        histories=expand(
            "results/{{study}}/{problem}/train/{variant}/seed_{seed}/history.parquet",
            problem=PROBLEMS,
            variant=CLASS_VARIANTS,
            seed=SEEDS,
        ),
        given_classes=expand(
            "results/{{study}}/{problem}/evaluate/{variant}/seed_{seed}/given_classes.parquet",
            problem=PROBLEMS,
            variant=CLASS_VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=table_files("claims", of="study"),
        caption=caption_file("table", "claims", of="study"),
        sources=sources_file("table", "claims", of="study"),
    log:
        "results/{study}/logs/table_claims.log",
    benchmark:
        "results/{study}/benchmarks/table_claims.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_study(table_params.claims_params),
    message:
        "Write the table of the paper's claims"
    script:
        "../workflow/scripts/table_claims.py"


rule table_hyperparameters:
    input:
        episodes=expand(
            "results/{{study}}/{problem}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=table_files("hyperparameters", of="study"),
        caption=caption_file("table", "hyperparameters", of="study"),
        sources=sources_file("table", "hyperparameters", of="study"),
    log:
        "results/{study}/logs/table_hyperparameters.log",
    benchmark:
        "results/{study}/benchmarks/table_hyperparameters.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_study(table_params.hyperparameters_params),
    message:
        "Write the table of hyperparameters"
    script:
        "../workflow/scripts/table_hyperparameters.py"


rule table_compute:
    input:
        collect_timings=expand(
            "results/{{study}}/{problem}/collect/seed_{seed}/timing.parquet",
            problem=PROBLEMS,
            seed=SEEDS,
        ),
        collect_histories=expand(
            "results/{{study}}/{problem}/collect/seed_{seed}/history.parquet",
            problem=PROBLEMS,
            seed=SEEDS,
        ),
        train_timings=expand(
            "results/{{study}}/{problem}/train/{variant}/seed_{seed}/timing.parquet",
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
        train_histories=expand(
            "results/{{study}}/{problem}/train/{variant}/seed_{seed}/history.parquet",
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
        vqvae_histories=expand(
            "results/{{study}}/{problem}/representation/{representation}/seed_{seed}/vqvae_history.parquet",
            problem=PROBLEMS,
            representation=PRETRAINED,
            seed=SEEDS,
        ),
        cluster_metrics=expand(
            "results/{{study}}/{problem}/representation/{representation}/seed_{seed}/cluster_metrics.parquet",
            problem=PROBLEMS,
            representation=REPRESENTATIONS,
            seed=SEEDS,
        ),
        episodes=expand(
            "results/{{study}}/{problem}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=table_files("compute", of="study"),
        caption=caption_file("table", "compute", of="study"),
        sources=sources_file("table", "compute", of="study"),
    log:
        "results/{study}/logs/table_compute.log",
    benchmark:
        "results/{study}/benchmarks/table_compute.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_study(table_params.compute_params),
    message:
        "Write the table of wall times and memory"
    script:
        "../workflow/scripts/table_compute.py"


rule table_cost:
    input:
        timings=expand(
            "results/{{study}}/{problem}/train/{variant}/seed_{seed}/timing.parquet",
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=table_files("cost", of="study"),
        caption=caption_file("table", "cost", of="study"),
        sources=sources_file("table", "cost", of="study"),
    log:
        "results/{study}/logs/table_cost.log",
    benchmark:
        "results/{study}/benchmarks/table_cost.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_study(table_params.cost_params),
    message:
        "Write the table of what the parts of a training cost"
    script:
        "../workflow/scripts/table_cost.py"


rule table_numbers:
    input:
        episodes=expand(
            "results/{{study}}/{problem}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
        histories=expand(
            "results/{{study}}/{problem}/train/{variant}/seed_{seed}/history.parquet",
            problem=PROBLEMS,
            variant=CLASS_VARIANTS,
            seed=SEEDS,
        ),
        given_classes=expand(
            "results/{{study}}/{problem}/evaluate/{variant}/seed_{seed}/given_classes.parquet",
            problem=PROBLEMS,
            variant=CLASS_VARIANTS,
            seed=SEEDS,
        ),
        cluster_metrics=expand(
            "results/{{study}}/{problem}/representation/{representation}/seed_{seed}/cluster_metrics.parquet",
            problem=PROBLEMS,
            representation=REPRESENTATIONS,
            seed=SEEDS,
        ),
    output:
        files=table_files("numbers", of=""),
        caption=caption_file("table", "numbers", of=""),
        sources=sources_file("table", "numbers", of=""),
    log:
        "results/{study}/logs/table_numbers.log",
    benchmark:
        "results/{study}/benchmarks/table_numbers.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_study(table_params.numbers_params),
    message:
        "Write the numbers of the study as LaTeX macros"
    script:
        "../workflow/scripts/table_numbers.py"


rule table_findings:
    input:
        episodes=expand(
            "results/{{study}}/{problem}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
        histories=expand(
            "results/{{study}}/{problem}/train/{variant}/seed_{seed}/history.parquet",
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
        cluster_metrics=expand(
            "results/{{study}}/{problem}/representation/{representation}/seed_{seed}/cluster_metrics.parquet",
            problem=PROBLEMS,
            representation=REPRESENTATIONS,
            seed=SEEDS,
        ),
    output:
        text="results/{study}/tables/findings.rst",
        sources=sources_file("table", "findings", of=""),
    log:
        "results/{study}/logs/table_findings.log",
    benchmark:
        "results/{study}/benchmarks/table_findings.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_study(table_params.findings_params),
    message:
        "Write the main findings of the study"
    script:
        "../workflow/scripts/table_findings.py"
