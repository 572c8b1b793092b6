# A picture is a matter of seconds: no node is asked for it.
localrules:
    figure_learning_curves,
    figure_embeddings,
    figure_predictor_accuracy,


rule figures:
    input:
        expand(
            "results/{study}/figures/{problem}_{name}.{suffix}",
            study=STUDY,
            problem=PROBLEMS,
            name=FIGURES,
            suffix=[*CONFIG.figures.formats, *CAPTION, *SOURCES],
        ),
    message:
        "All figures are drawn."


rule figure_learning_curves:
    input:
        histories=expand(
            "results/{{study}}/{{problem}}/train/{variant}/seed_{seed}/history.parquet",
            variant=VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=figure_files("learning_curves"),
        caption=caption_file("figure", "learning_curves"),
        sources=sources_file("figure", "learning_curves"),
    log:
        "results/{study}/logs/figure_learning_curves/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/figure_learning_curves/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.figures.threads
    resources:
        mem_mb=CONFIG.resources.figures.mem_mb,
        runtime=CONFIG.resources.figures.runtime,
        gpu=CONFIG.resources.figures.gpu,
    params:
        settings=of_problem(stage_params.learning_curves_params),
    message:
        "Draw the learning curves on {wildcards.problem}"
    script:
        "../workflow/scripts/figure_learning_curves.py"


rule figure_embeddings:
    input:
        embeddings=expand(
            "results/{{study}}/{{problem}}/representation/{representation}/seed_{seed}/embeddings.parquet",
            representation=REPRESENTATIONS,
            seed=SEEDS,
        ),
        cluster_metrics=expand(
            "results/{{study}}/{{problem}}/representation/{representation}/seed_{seed}/cluster_metrics.parquet",
            representation=REPRESENTATIONS,
            seed=SEEDS,
        ),
    output:
        files=figure_files("embeddings"),
        caption=caption_file("figure", "embeddings"),
        sources=sources_file("figure", "embeddings"),
    log:
        "results/{study}/logs/figure_embeddings/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/figure_embeddings/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.figures.threads
    resources:
        mem_mb=CONFIG.resources.figures.mem_mb,
        runtime=CONFIG.resources.figures.runtime,
        gpu=CONFIG.resources.figures.gpu,
    params:
        settings=of_problem(stage_params.embeddings_params),
    message:
        "Draw the embeddings on {wildcards.problem}"
    script:
        "../workflow/scripts/figure_embeddings.py"


rule figure_predictor_accuracy:
    input:
        histories=expand(
            "results/{{study}}/{{problem}}/train/{variant}/seed_{seed}/history.parquet",
            variant=CLASS_VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=figure_files("predictor_accuracy"),
        caption=caption_file("figure", "predictor_accuracy"),
        sources=sources_file("figure", "predictor_accuracy"),
    log:
        "results/{study}/logs/figure_predictor_accuracy/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/figure_predictor_accuracy/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.figures.threads
    resources:
        mem_mb=CONFIG.resources.figures.mem_mb,
        runtime=CONFIG.resources.figures.runtime,
        gpu=CONFIG.resources.figures.gpu,
    params:
        settings=of_problem(stage_params.predictor_accuracy_params),
    message:
        "Draw the predictor's accuracy on {wildcards.problem}"
    script:
        "../workflow/scripts/figure_predictor_accuracy.py"
