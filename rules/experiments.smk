# A picture or a table is a matter of seconds: no node is asked for it.
localrules:
    experiments,
    figure_experiment,
    table_experiment,


rule experiments:
    input:
        [experiment_files(name) for name in EXPERIMENTS],
    message:
        "All experiments are done."


# A target for each.
for EXPERIMENT in EXPERIMENTS:

    rule:
        name:
            f"experiment_{EXPERIMENT}"
        input:
            experiment_files(EXPERIMENT),
        localrule: True
        message:
            "An experiment is done."


rule figure_experiment:
    input:
        unpack(compared_files),
    output:
        files=figure_files("{experiment}", of="experiment"),
        caption=caption_file("figure", "{experiment}", of="experiment"),
        sources=sources_file("figure", "{experiment}", of="experiment"),
    log:
        "results/{study}/logs/figure_experiment/{experiment}.log",
    benchmark:
        "results/{study}/benchmarks/figure_experiment/{experiment}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.figures.threads
    resources:
        mem_mb=CONFIG.resources.figures.mem_mb,
        runtime=CONFIG.resources.figures.runtime,
        gpu=CONFIG.resources.figures.gpu,
    params:
        settings=of_experiment(figure_params.experiment_params),
    message:
        "Draw experiment {wildcards.experiment}"
    script:
        "../workflow/scripts/figure_experiment.py"


rule table_experiment:
    input:
        unpack(compared_files),
    output:
        files=table_files("{experiment}", of="experiment"),
        caption=caption_file("table", "{experiment}", of="experiment"),
        sources=sources_file("table", "{experiment}", of="experiment"),
    log:
        "results/{study}/logs/table_experiment/{experiment}.log",
    benchmark:
        "results/{study}/benchmarks/table_experiment/{experiment}.tsv"
    conda:
        "../envs/trama.yaml"
    threads: CONFIG.resources.tables.threads
    resources:
        mem_mb=CONFIG.resources.tables.mem_mb,
        runtime=CONFIG.resources.tables.runtime,
        gpu=CONFIG.resources.tables.gpu,
    params:
        settings=of_experiment(table_params.experiment_params),
    message:
        "Write the table of experiment {wildcards.experiment}"
    script:
        "../workflow/scripts/table_experiment.py"
