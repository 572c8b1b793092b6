# A table is a matter of seconds: no node is asked for it.
localrules:
    table_results,
    table_clusters,
    table_predictor,


rule tables:
    input:
        expand(
            "results/{study}/tables/{problem}_{name}.{suffix}",
            study=STUDY,
            problem=PROBLEMS,
            name=TABLES,
            suffix=TABLE_FORMATS + SOURCES,
        ),
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
        settings=of_problem(stage_params.results_params),
    message:
        "Write the table of results on {wildcards.problem}"
    script:
        "../workflow/scripts/table_results.py"


rule table_clusters:
    input:
        cluster_metrics=expand(
            "results/{{study}}/{{problem}}/representation/{representation}/seed_{seed}/cluster_metrics.parquet",
            representation=REPRESENTATIONS,
            seed=SEEDS,
        ),
    output:
        files=table_files("clusters"),
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
        settings=of_problem(stage_params.clusters_params),
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
        settings=of_problem(stage_params.predictor_params),
    message:
        "Write the table of the predictor on {wildcards.problem}"
    script:
        "../workflow/scripts/table_predictor.py"
