# The first job of a study with backend smacv2, on a node like those of stage collect, which waits
# for it: what is missing there is told before any long job.


rule check_starcraft:
    output:
        starcraft="results/{study}/starcraft.json",
    log:
        "results/{study}/logs/check_starcraft.log",
    benchmark:
        "results/{study}/benchmarks/check_starcraft.tsv"
    conda:
        "../envs/smacv2.yaml"
    threads: CONFIG.resources.collect.threads
    resources:
        mem_mb=CONFIG.resources.collect.mem_mb,
        runtime=min(CONFIG.resources.collect.runtime, 30),
        gpu=CONFIG.resources.collect.gpu,
    params:
        settings=check_starcraft_settings,
    message:
        "Check StarCraft II"
    script:
        "../workflow/scripts/check_starcraft.py"
