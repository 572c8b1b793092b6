# No other stage reads what this one writes, so that `all` leaves it out.
rule predict_classes:
    input:
        trajectories="results/{study}/{problem}/collect/seed_{seed}/trajectories.parquet",
        embeddings="results/{study}/{problem}/representation/{representation}/seed_{seed}/embeddings.parquet",
    output:
        predictor_accuracy="results/{study}/{problem}/representation/{representation}/seed_{seed}/predictor_accuracy.parquet",
    log:
        "results/{study}/logs/predict_classes/{problem}/{representation}/seed_{seed}.log",
    benchmark:
        "results/{study}/benchmarks/predict_classes/{problem}/{representation}/seed_{seed}.tsv"
    conda:
        PLAYING
    threads: CONFIG.resources.predict.threads
    resources:
        mem_mb=CONFIG.resources.predict.mem_mb,
        runtime=CONFIG.resources.predict.runtime,
        gpu=CONFIG.resources.predict.gpu,
    params:
        settings=predict_settings,
    message:
        "Predict the classes of {wildcards.representation} on {wildcards.problem}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/predict_classes.py"


rule predict:
    input:
        expand(
            rules.predict_classes.output,
            study=STUDY,
            problem=PROBLEMS,
            representation=REPRESENTATIONS,
            seed=SEEDS,
        ),
        expand(
            "results/{study}/figures/{problem}_predictor_alone.{suffix}",
            study=STUDY,
            problem=PREDICTED,
            suffix=[*CONFIG.figures.formats, *CAPTION, *SOURCES],
        ),
        expand(
            "results/{study}/tables/{problem}_predictor_alone.{suffix}",
            study=STUDY,
            problem=PREDICTED,
            suffix=TABLE_FORMATS + CAPTION + SOURCES,
        ),
    message:
        "The class predictor is measured alone."
