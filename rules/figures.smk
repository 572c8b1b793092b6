# A picture is a matter of seconds: no node is asked for it.
localrules:
    figure_learning_curves,
    figure_task_win_rates,
    figure_embeddings,
    figure_codebook,
    figure_predictor_accuracy,
    figure_predictor_alone,
    figure_predictor_confusion,
    figure_label_consistency,
    figure_ood_gain,
    figure_aggregates,
    figure_performance_profiles,


rule figures:
    input:
        expand(
            "results/{study}/figures/{name}.{suffix}",
            study=STUDY,
            name=expand("{problem}_{name}", problem=PROBLEMS, name=FIGURES)
            + expand("study_{name}", name=STUDY_FIGURES),
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
        settings=of_problem(figure_params.learning_curves_params),
    message:
        "Draw the learning curves on {wildcards.problem}"
    script:
        "../workflow/scripts/figure_learning_curves.py"


rule figure_task_win_rates:
    input:
        episodes=expand(
            "results/{{study}}/{{problem}}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            variant=VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=figure_files("task_win_rates"),
        caption=caption_file("figure", "task_win_rates"),
        sources=sources_file("figure", "task_win_rates"),
    log:
        "results/{study}/logs/figure_task_win_rates/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/figure_task_win_rates/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.figures.threads
    resources:
        mem_mb=CONFIG.resources.figures.mem_mb,
        runtime=CONFIG.resources.figures.runtime,
        gpu=CONFIG.resources.figures.gpu,
    params:
        settings=of_problem(figure_params.task_win_rates_params),
    message:
        "Draw the win rates per task on {wildcards.problem}"
    script:
        "../workflow/scripts/figure_task_win_rates.py"


rule figure_embeddings:
    input:
        before=expand(
            "results/{{study}}/{{problem}}/representation/{representation}/seed_{seed}/embeddings.parquet",
            representation=REPRESENTATIONS,
            seed=SEEDS,
        ),
        during=expand(
            "results/{{study}}/{{problem}}/train/{variant}/seed_{seed}/embeddings.parquet",
            variant=CLUSTER_VARIANTS,
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
        settings=of_problem(figure_params.embeddings_params),
    message:
        "Draw the embeddings on {wildcards.problem}"
    script:
        "../workflow/scripts/figure_embeddings.py"


rule figure_codebook:
    input:
        before=expand(
            "results/{{study}}/{{problem}}/representation/{representation}/seed_{seed}/codebook.parquet",
            representation=PRETRAINED,
            seed=SEEDS,
        ),
        during=expand(
            "results/{{study}}/{{problem}}/train/{variant}/seed_{seed}/codebook.parquet",
            variant=CODEBOOK_VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=figure_files("codebook"),
        caption=caption_file("figure", "codebook"),
        sources=sources_file("figure", "codebook"),
    log:
        "results/{study}/logs/figure_codebook/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/figure_codebook/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.figures.threads
    resources:
        mem_mb=CONFIG.resources.figures.mem_mb,
        runtime=CONFIG.resources.figures.runtime,
        gpu=CONFIG.resources.figures.gpu,
    params:
        settings=of_problem(figure_params.codebook_params),
    message:
        "Draw the use of the codes on {wildcards.problem}"
    script:
        "../workflow/scripts/figure_codebook.py"


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
        settings=of_problem(figure_params.predictor_accuracy_params),
    message:
        "Draw the predictor's accuracy on {wildcards.problem}"
    script:
        "../workflow/scripts/figure_predictor_accuracy.py"


rule figure_predictor_alone:
    input:
        accuracies=expand(
            "results/{{study}}/{{problem}}/representation/{representation}/seed_{seed}/predictor_accuracy.parquet",
            representation=REPRESENTATIONS,
            seed=SEEDS,
        ),
    output:
        files=figure_files("predictor_alone"),
        caption=caption_file("figure", "predictor_alone"),
        sources=sources_file("figure", "predictor_alone"),
    log:
        "results/{study}/logs/figure_predictor_alone/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/figure_predictor_alone/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.figures.threads
    resources:
        mem_mb=CONFIG.resources.figures.mem_mb,
        runtime=CONFIG.resources.figures.runtime,
        gpu=CONFIG.resources.figures.gpu,
    params:
        settings=of_problem(figure_params.predictor_alone_params),
    message:
        "Draw the accuracy of the class predictor alone on {wildcards.problem}"
    script:
        "../workflow/scripts/figure_predictor_alone.py"


rule figure_predictor_confusion:
    input:
        predictions=expand(
            "results/{{study}}/{{problem}}/evaluate/{variant}/seed_{seed}/predictions.parquet",
            variant=CLASS_VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=figure_files("predictor_confusion"),
        caption=caption_file("figure", "predictor_confusion"),
        sources=sources_file("figure", "predictor_confusion"),
    log:
        "results/{study}/logs/figure_predictor_confusion/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/figure_predictor_confusion/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.figures.threads
    resources:
        mem_mb=CONFIG.resources.figures.mem_mb,
        runtime=CONFIG.resources.figures.runtime,
        gpu=CONFIG.resources.figures.gpu,
    params:
        settings=of_problem(figure_params.predictor_confusion_params),
    message:
        "Draw the predicted classes on each task on {wildcards.problem}"
    script:
        "../workflow/scripts/figure_predictor_confusion.py"


rule figure_label_consistency:
    input:
        histories=expand(
            "results/{{study}}/{{problem}}/train/{variant}/seed_{seed}/history.parquet",
            variant=CLUSTER_VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=figure_files("label_consistency"),
        caption=caption_file("figure", "label_consistency"),
        sources=sources_file("figure", "label_consistency"),
    log:
        "results/{study}/logs/figure_label_consistency/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/figure_label_consistency/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.figures.threads
    resources:
        mem_mb=CONFIG.resources.figures.mem_mb,
        runtime=CONFIG.resources.figures.runtime,
        gpu=CONFIG.resources.figures.gpu,
    params:
        settings=of_problem(figure_params.label_consistency_params),
    message:
        "Draw the label consistency on {wildcards.problem}"
    script:
        "../workflow/scripts/figure_label_consistency.py"


rule figure_ood_gain:
    input:
        episodes=expand(
            "results/{{study}}/{{problem}}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            variant=GAIN_VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=figure_files("ood_gain"),
        caption=caption_file("figure", "ood_gain"),
        sources=sources_file("figure", "ood_gain"),
    log:
        "results/{study}/logs/figure_ood_gain/{problem}.log",
    benchmark:
        "results/{study}/benchmarks/figure_ood_gain/{problem}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.figures.threads
    resources:
        mem_mb=CONFIG.resources.figures.mem_mb,
        runtime=CONFIG.resources.figures.runtime,
        gpu=CONFIG.resources.figures.gpu,
    params:
        settings=of_problem(figure_params.ood_gain_params),
    message:
        "Draw the gain against similarity on {wildcards.problem}"
    script:
        "../workflow/scripts/figure_ood_gain.py"


rule figure_aggregates:
    input:
        episodes=expand(
            "results/{{study}}/{problem}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=figure_files("aggregates", of="study"),
        caption=caption_file("figure", "aggregates", of="study"),
        sources=sources_file("figure", "aggregates", of="study"),
    log:
        "results/{study}/logs/figure_aggregates.log",
    benchmark:
        "results/{study}/benchmarks/figure_aggregates.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.figures.threads
    resources:
        mem_mb=CONFIG.resources.figures.mem_mb,
        runtime=CONFIG.resources.figures.runtime,
        gpu=CONFIG.resources.figures.gpu,
    params:
        settings=of_study(figure_params.aggregates_params),
    message:
        "Draw the aggregates"
    script:
        "../workflow/scripts/figure_aggregates.py"


rule figure_performance_profiles:
    input:
        episodes=expand(
            "results/{{study}}/{problem}/evaluate/{variant}/seed_{seed}/episodes.parquet",
            problem=PROBLEMS,
            variant=VARIANTS,
            seed=SEEDS,
        ),
    output:
        files=figure_files("performance_profiles", of="study"),
        caption=caption_file("figure", "performance_profiles", of="study"),
        sources=sources_file("figure", "performance_profiles", of="study"),
    log:
        "results/{study}/logs/figure_performance_profiles.log",
    benchmark:
        "results/{study}/benchmarks/figure_performance_profiles.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.figures.threads
    resources:
        mem_mb=CONFIG.resources.figures.mem_mb,
        runtime=CONFIG.resources.figures.runtime,
        gpu=CONFIG.resources.figures.gpu,
    params:
        settings=of_study(figure_params.performance_profiles_params),
    message:
        "Draw the performance profiles"
    script:
        "../workflow/scripts/figure_performance_profiles.py"
