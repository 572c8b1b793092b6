import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

# The library of this clone, whether it is installed or not.
sys.path.insert(0, str(Path(workflow.basedir, "workflow")))

from trama.config.load import load_config
from trama.errors import TramaError
from trama.provenance import record_run

try:
    CONFIG = load_config(
        Path("config/config.yaml"),
        Path(workflow.basedir, "config"),
        workflow.config_settings.configfiles,
        workflow.config_settings.config,
    )
except TramaError as error:
    sys.exit(str(error))


configfile: "config/config.yaml"


# What scripts and the report see as `config` is the configuration in force, preset included.
config.update(CONFIG.model_dump(mode="json"))


report: "workflow/report/workflow.rst"


include: "rules/common.smk"
include: "rules/check.smk"
include: "rules/collect.smk"
include: "rules/pretrain.smk"
include: "rules/cluster.smk"
include: "rules/predict.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/figures.smk"
include: "rules/tables.smk"
include: "rules/experiments.smk"


localrules:
    all,
    collect,
    pretrain,
    cluster,
    predict,
    train,
    evaluate,
    figures,
    tables,


onstart:
    # Not in dry runs, nor in the Snakemake of a cluster's job.
    record_run(
        Path("results", STUDY, "provenance"),
        CONFIG,
        ["snakemake", *sys.argv[1:]],
        Path(workflow.basedir),
    )


rule all:
    default_target: True
    input:
        rules.collect.input,
        rules.pretrain.input,
        rules.cluster.input,
        rules.train.input,
        rules.evaluate.input,
        rules.figures.input,
        rules.tables.input,
        run_records(),
