"""The jobs of the study on the tiny preset: what follows from each of its stages.

The study has the variants qmix, qplex and trama, the representation vqvae with coverage J(t,k), one
problem and one seed. Jobs are named as `clones.named_jobs` names them.
"""

Jobs = dict[str, int]


def each(*jobs: str) -> Jobs:
    """One job of each name."""
    return dict.fromkeys(jobs, 1)


def trained(name: str, rule: str) -> Jobs:
    """Training of a variant by that rule, and its evaluation."""
    return each(f"{rule} {name}", f"evaluate_variant {name}")


# What follows from a stage: from the evaluation of each variant, from its training, and from the
# stages before it.
COMPARED = each("figure_task_win_rates", "figure_aggregates", "figure_performance_profiles")
PREDICTED = each("figure_predictor_confusion")
GAIN = each("figure_ood_gain")
EVALUATIONS_TABLES = each(
    *("table_results", "table_ood", "table_ood_tasks"),
    *(
        "table_win_rates",
        "table_ablations",
        "table_claims",
        "table_hyperparameters",
        "table_compute",
        "table_numbers",
        "table_findings",
    ),
)
EVALUATIONS_SHOWN = {**EVALUATIONS_TABLES, **COMPARED}
EVALUATION_FIGURES = {**COMPARED, **PREDICTED, **GAIN}
TRAINING_SHOWN = each("figure_learning_curves", "table_cost")
BASELINE_SHOWN = {**TRAINING_SHOWN, **EVALUATIONS_SHOWN}
CLASS_USE = each("table_class_use", "table_novelty")
CLASSES_SHOWN = {
    **each("figure_predictor_accuracy", "table_predictor"),
    **PREDICTED,
    **CLASS_USE,
}
CLUSTERINGS_SHOWN = each(
    *("figure_embeddings", "figure_codebook", "figure_label_consistency"),
    "table_label_consistency",
)
CLUSTERS_SHOWN = each("figure_embeddings", "figure_codebook", "table_clusters")
FIGURES = {
    **each("figure_learning_curves", "figure_predictor_accuracy"),
    **each("figure_embeddings", "figure_codebook", "figure_label_consistency"),
    **EVALUATION_FIGURES,
}
TABLES = {
    **EVALUATIONS_TABLES,
    **CLASS_USE,
    **each("table_clusters", "table_predictor", "table_label_consistency", "table_cost"),
}

QMIX = {**trained("qmix", "train_without_representation"), **BASELINE_SHOWN}
QPLEX = {**trained("qplex", "train_without_representation"), **BASELINE_SHOWN, **GAIN}
TRAMA = {
    **trained("trama", "train_with_representation"),
    **BASELINE_SHOWN,
    **CLASSES_SHOWN,
    **CLUSTERINGS_SHOWN,
    **GAIN,
}
TRAIN = {**QMIX, **QPLEX, **TRAMA}
CLUSTER = {**each("cluster_representation vqvae"), **CLUSTERS_SHOWN, **TRAMA}
PRETRAIN = {**each("pretrain_representation vqvae"), **CLUSTER}
ALL = {**each("collect_problem"), **PRETRAIN, **TRAIN}
EVALUATE = {
    **each("evaluate_variant qmix", "evaluate_variant qplex", "evaluate_variant trama"),
    **EVALUATIONS_TABLES,
    **CLASS_USE,
    **EVALUATION_FIGURES,
}
EVALUATE_TRAMA = {
    **each("evaluate_variant trama"),
    **EVALUATIONS_TABLES,
    **CLASS_USE,
    **EVALUATION_FIGURES,
}
