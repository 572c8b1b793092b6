"""What the rules share: names from the config, and the functions of their inputs and params."""

import re

from trama.config import experiments as measures
from trama.config import figure_params
from trama.config import params as stage_params
from trama.config import table_params
from trama.config.load import check_experiment

STUDY = CONFIG.study.name
PROBLEMS = CONFIG.study.problems
VARIANTS = CONFIG.study.variants
SEEDS = CONFIG.study.seeds
EXPERIMENTS = CONFIG.playable_experiments
# All variants that are defined: those that start from a representation, and the others.
WITH_REPRESENTATION = [name for name, variant in CONFIG.variants.items() if variant.representation]
WITHOUT_REPRESENTATION = [name for name in CONFIG.variants if name not in WITH_REPRESENTATION]
# What the study uses of them: those with a predictor (an oracle has one too), those that cluster
# anew during training, those with a codebook, those that have a gain with their baselines, those
# that fall back on no class, also with their baselines, and representations.
CLASS_VARIANTS = stage_params.with_classes(CONFIG)
CLUSTER_VARIANTS = stage_params.with_clusterings(CONFIG)
CODEBOOK_VARIANTS = figure_params.with_codebook(CONFIG)
GAIN_VARIANTS = figure_params.with_gain(CONFIG)
FALLBACK_VARIANTS = table_params.with_fallback(CONFIG)
BESIDE_FALLBACK = table_params.beside_fallback(CONFIG)
REPRESENTATIONS = CONFIG.used_representations
WITH_CODEBOOK = [n for n, r in CONFIG.representations.items() if r.has_codebook]
PRETRAINED = [name for name in REPRESENTATIONS if name in WITH_CODEBOOK]
# Problems on which the predictor is measured alone.
PREDICTED = PROBLEMS if REPRESENTATIONS else []
# The environment of the jobs that play, and what they wait for.
ON_STARCRAFT = CONFIG.env.backend == "smacv2"
PLAYING = "../envs/smacv2.yaml" if ON_STARCRAFT else "../envs/trama.yaml"
CHECKS = {"starcraft": ancient("results/{study}/starcraft.json")} if ON_STARCRAFT else {}
FIGURES = ["learning_curves", "task_win_rates"]
STUDY_FIGURES = ["aggregates", "performance_profiles"]
TABLES = ["results"]
STUDY_TABLES = ["win_rates", "hyperparameters", "compute", "cost"]
TABLE_FORMATS = ["tex", "csv", "md", "html"]
# Beside the formats of each figure and table.
SOURCES = ["sources.json"]
CAPTION = ["caption.rst"]
if REPRESENTATIONS:
    FIGURES += ["embeddings", "label_consistency"]
    TABLES += ["clusters", "label_consistency"]
if CLASS_VARIANTS:
    FIGURES += ["predictor_accuracy", "predictor_confusion"]
    TABLES += ["predictor", "class_use"]
if PRETRAINED:
    FIGURES += ["codebook"]
if CONFIG.evaluate.task_sets:
    TABLES += ["ood", "ood_tasks"]
    if CLASS_VARIANTS:
        TABLES += ["novelty"]
    if GAIN_VARIANTS:
        FIGURES += ["ood_gain"]
if FALLBACK_VARIANTS:
    TABLES += ["fallback"]
if len(VARIANTS) > 1:
    STUDY_TABLES += ["ablations"]
if CONFIG.reference in CLUSTER_VARIANTS and len(CLASS_VARIANTS) < len(VARIANTS):
    STUDY_TABLES += ["claims"]


def any_of(names):
    """A regular expression that matches exactly these names; nothing where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    study=re.escape(STUDY),
    problem=any_of(CONFIG.problems),
    representation=any_of(CONFIG.representations),
    variant=any_of(CONFIG.variants),
    experiment=any_of(EXPERIMENTS),
    seed=r"0|[1-9]\d*",


def representation_files(representation, wildcards, names):
    """Files of that representation, by name, for the wildcards' study, problem and seed."""
    folder = f"results/{wildcards.study}/{wildcards.problem}/representation/{representation}"
    suffixes = {"vqvae": "pt", "classifier": "pt", "centroids": "parquet"}
    return {name: f"{folder}/seed_{wildcards.seed}/{name}.{suffixes[name]}" for name in names}


def cluster_vqvae(wildcards):
    """The VQ-VAE that embeds the trajectories, where the representation has one."""
    names = ["vqvae"] if wildcards.representation in WITH_CODEBOOK else []
    return representation_files(wildcards.representation, wildcards, names)


def initial_representation(wildcards):
    """The representation that the training of a variant starts from, unless it starts cold."""
    representation = CONFIG.variants[wildcards.variant].representation
    if not CONFIG.starts_warm(wildcards.variant):
        return {}
    names = ["centroids", "classifier"] + ["vqvae"] * (representation in WITH_CODEBOOK)
    return representation_files(representation, wildcards, names)


def initial_learning(wildcards):
    """What the training of a variant goes on from: collected trajectories, and their learner."""
    start = CONFIG.start_of(wildcards.variant)
    if start == "scratch":
        return {}
    folder = f"results/{wildcards.study}/{wildcards.problem}/collect/seed_{wildcards.seed}"
    found = {"trajectories": f"{folder}/trajectories.parquet"}
    if start == "collect":
        found["collected_learner"] = f"{folder}/learner.pt"
    return found


def check_starcraft_settings(wildcards):
    return stage_params.check_starcraft_params(CONFIG)


def collect_settings(wildcards):
    return stage_params.collect_params(CONFIG, wildcards.problem, int(wildcards.seed))


def pretrain_settings(wildcards):
    return stage_params.pretrain_params(
        CONFIG, wildcards.problem, wildcards.representation, int(wildcards.seed)
    )


def cluster_settings(wildcards):
    return stage_params.cluster_params(
        CONFIG, wildcards.problem, wildcards.representation, int(wildcards.seed)
    )


def predict_settings(wildcards):
    return stage_params.predict_params(
        CONFIG, wildcards.problem, wildcards.representation, int(wildcards.seed)
    )


def train_settings(wildcards):
    return stage_params.train_params(
        CONFIG, wildcards.problem, wildcards.variant, int(wildcards.seed)
    )


def train_checkpoint(wildcards):
    """Folder of a training's checkpoint: no output, or Snakemake would delete it before a retry."""
    key = stage_params.checkpoint_key(train_settings(wildcards))
    folder = f"results/{wildcards.study}/checkpoints/{wildcards.problem}/{wildcards.variant}"
    return f"{folder}/seed_{wildcards.seed}/{key}"


def evaluate_settings(wildcards):
    return stage_params.evaluate_params(
        CONFIG, wildcards.problem, wildcards.variant, int(wildcards.seed)
    )


def compared_files(wildcards):
    """What an experiment measures: files of its representations' or its variants' jobs, by kind."""
    check_experiment(CONFIG, wildcards.experiment)
    experiment = CONFIG.experiments[wildcards.experiment]
    kinds = {
        "cluster_metrics": ("representation", experiment.representations, measures.OF_CLUSTERS),
        "predictor_accuracy": (
            "representation",
            experiment.representations,
            measures.OF_PREDICTORS,
        ),
        "history": ("train", experiment.variants, measures.OF_HISTORIES + measures.OF_CLUSTERS),
        "timing": ("train", experiment.variants, measures.OF_TIMINGS),
        "episodes": ("evaluate", experiment.variants, measures.OF_EVALUATIONS),
        "fallback": ("evaluate", experiment.variants, measures.OF_FALLBACKS),
        "given_classes": ("evaluate", experiment.variants, measures.OF_GIVEN),
    }
    return {
        kind: [
            f"results/{wildcards.study}/{problem}/{stage}/{name}/seed_{seed}/{kind}.parquet"
            for problem in experiment.problems
            for name in names
            for seed in experiment.seeds
        ]
        for kind, (stage, names, known) in kinds.items()
        if names and experiment.measures_any(known)
    }


def of_problem(params):
    """Params of a figure or table of a problem, by that function of trama.config."""

    def settings(wildcards):
        return params(CONFIG, wildcards.problem)

    return settings


def of_study(params):
    """Params of a figure or table of the whole study, by that function."""

    def settings(wildcards):
        return params(CONFIG)

    return settings


def of_experiment(params):
    """Params of the figure or table of an experiment, by that function."""

    def settings(wildcards):
        return params(CONFIG, wildcards.experiment)

    return settings


def report_path(category, name, suffix, of="{problem}"):
    """A file of a figure or table: of a problem, of the study (`of` is "study"), or just `name`."""
    stem = "_".join(filter(None, [of, name]))
    return f"results/{{study}}/{category}s/{stem}.{suffix}"


def in_report(category, name, suffix, of="{problem}"):
    """That output, with its caption and its place in Snakemake's report."""
    return report(
        report_path(category, name, suffix, of),
        caption="../workflow/report/caption.rst",
        category=f"{category}s",
        subcategory=of or "study",
        labels={category: name.replace("_", " "), "format": suffix},
    )


def sources_file(category, name, of="{problem}"):
    """The file beside a figure or table that says what it was made from."""
    path = report_path(category, name, "sources.json", of)
    caption = "../workflow/report/sources.rst"
    labels = {"of": f"{category}: {name.replace('_', ' ')}"}
    return report(
        path, caption=caption, category="provenance", subcategory=of or "study", labels=labels
    )


def run_record(path):
    """What was recorded of a run of the study, and its place in Snakemake's report."""
    caption = "workflow/report/runs.rst"  # of the Snakefile, which has it as an input
    labels = {"of": path.stem}
    return report(
        str(path), caption=caption, category="provenance", subcategory="runs", labels=labels
    )


def run_records():
    """All of these, for the target `all`; no job makes or needs them."""
    folder = Path("results", STUDY, "provenance")
    return [run_record(path) for path in sorted(folder.glob("*.json"))]


def caption_file(category, name, of="{problem}"):
    """The file beside a figure or table that has its caption, with the numbers in it."""
    return report_path(category, name, "caption.rst", of)


def figure_files(name, of="{problem}"):
    """One figure, in the formats of the config."""
    return [in_report("figure", name, suffix, of) for suffix in CONFIG.figures.formats]


def table_files(name, of="{problem}"):
    """One table, in all formats."""
    return [in_report("table", name, suffix, of) for suffix in TABLE_FORMATS]


def experiment_files(experiment):
    """Figure and table of that experiment, in all formats, with what stands beside them."""
    suffixes = {
        "figure": [*CONFIG.figures.formats, *CAPTION, *SOURCES],
        "table": [*TABLE_FORMATS, *CAPTION, *SOURCES],
    }
    return [
        f"results/{STUDY}/{category}s/experiment_{experiment}.{suffix}"
        for category in suffixes
        for suffix in suffixes[category]
    ]
