"""What the rules share: names from the config, and the functions of their inputs and params."""

import re

from trama.config import params as stage_params

STUDY = CONFIG.study.name
PROBLEMS = CONFIG.study.problems
VARIANTS = CONFIG.study.variants
SEEDS = CONFIG.study.seeds
# All variants that are defined: those that start from a representation, and the others.
WITH_REPRESENTATION = [name for name, variant in CONFIG.variants.items() if variant.representation]
WITHOUT_REPRESENTATION = [name for name in CONFIG.variants if name not in WITH_REPRESENTATION]
# What the study uses of them: those with a predictor (an oracle has one too), and representations.
CLASS_VARIANTS = [name for name in VARIANTS if CONFIG.variants[name].has_classes]
REPRESENTATIONS = CONFIG.used_representations
QUANTISED = [n for n, r in CONFIG.representations.items() if r.embedding == "quantised"]
PRETRAINED = [name for name in REPRESENTATIONS if name in QUANTISED]
FIGURES = ["learning_curves"]
TABLES = ["results"]
TABLE_FORMATS = ["tex", "csv", "md"]
SOURCES = ["sources.json"]  # beside the formats of each figure and table
CAPTION = ["caption.rst"]  # and of each figure
if REPRESENTATIONS:
    FIGURES += ["embeddings"]
    TABLES += ["clusters"]
if CLASS_VARIANTS:
    FIGURES += ["predictor_accuracy"]
    TABLES += ["predictor"]


def any_of(names):
    """A regular expression that matches exactly these names; nothing where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    study=re.escape(STUDY),
    problem=any_of(CONFIG.problems),
    representation=any_of(CONFIG.representations),
    variant=any_of(CONFIG.variants),
    seed=r"0|[1-9]\d*",


def representation_files(representation, wildcards, names):
    """Files of that representation, by name, for the wildcards' study, problem and seed."""
    folder = f"results/{wildcards.study}/{wildcards.problem}/representation/{representation}"
    suffixes = {"vqvae": "pt", "classifier": "pt", "centroids": "parquet"}
    return {name: f"{folder}/seed_{wildcards.seed}/{name}.{suffixes[name]}" for name in names}


def cluster_vqvae(wildcards):
    """The VQ-VAE that embeds the trajectories, where the representation has one."""
    names = ["vqvae"] if wildcards.representation in QUANTISED else []
    return representation_files(wildcards.representation, wildcards, names)


def initial_representation(wildcards):
    """The representation that the training of a variant starts from."""
    representation = CONFIG.variants[wildcards.variant].representation
    names = ["centroids", "classifier"] + ["vqvae"] * (representation in QUANTISED)
    return representation_files(representation, wildcards, names)


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


def of_problem(params):
    """Params of a figure or table, by that function of trama.config.params, for the wildcards."""

    def settings(wildcards):
        return params(CONFIG, wildcards.problem)

    return settings


def in_report(path, category, name, suffix):
    """That output, with its caption and its place in Snakemake's report."""
    caption = f"../workflow/report/{name}.rst"
    labels = {category: name.replace("_", " "), "format": suffix}
    return report(
        path, caption=caption, category=f"{category}s", subcategory="{problem}", labels=labels
    )


def sources_file(category, name):
    """The file beside a figure or table of a problem that says what it was made from."""
    return f"results/{{study}}/{category}s/{{problem}}_{name}.sources.json"


def caption_file(category, name):
    """The file beside a figure of a problem that has its caption, with the numbers in it."""
    return f"results/{{study}}/{category}s/{{problem}}_{name}.caption.rst"


def figure_files(name):
    """One figure of a problem, in the formats of the config."""
    path = f"results/{{study}}/figures/{{problem}}_{name}"
    return [in_report(f"{path}.{s}", "figure", name, s) for s in CONFIG.figures.formats]


def table_files(name):
    """One table of a problem, in all formats."""
    path = f"results/{{study}}/tables/{{problem}}_{name}"
    return [in_report(f"{path}.{s}", "table", name, s) for s in TABLE_FORMATS]
