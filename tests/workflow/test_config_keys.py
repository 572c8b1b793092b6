"""Every key of the configuration: the jobs that its change plans in a finished study."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_origin

import pytest
from pydantic import BaseModel

from clones import named_jobs
from planner import DryRun, dry_runs
from tiny_jobs import (
    ALL,
    BASELINE_SHOWN,
    CLASSES_SHOWN,
    CLUSTER,
    CLUSTERS_SHOWN,
    EVALUATE,
    EVALUATE_TRAMA,
    EVALUATION_FIGURES,
    FIGURES,
    GAIN,
    PRETRAIN,
    QMIX,
    QPLEX,
    TABLES,
    TRAIN,
    TRAMA,
    Jobs,
    each,
    trained,
)
from trama.config.describe import sections_of
from trama.config.model import Config

pytestmark = pytest.mark.end_to_end

NOTHING: Jobs = {}


def without_claims(jobs: Jobs) -> Jobs:
    """Of a study whose classes are the true tasks alone, of which the paper claims nothing."""
    return {job: n for job, n in jobs.items() if job != "table_claims"}


def without_codebook(jobs: Jobs) -> Jobs:
    """The jobs of a study whose representation has no codebook."""
    return {job: number for job, number in jobs.items() if job != "figure_codebook"}


class Edit(NamedTuple):
    """A change of config.yaml that no override can make, as it takes keys away."""

    old: str
    new: str


# Another value of each key of the backend that the study does not play on.
SMACV2 = {
    **{"max_steps": 100, "dist_ratio": 0.4, "difficulty": 6, "game_version": "4.10.0"},
    **{"step_mul": 4, "move_amount": 1.5, "use_unit_ranges": "false", "min_attack_range": 1.5},
    **{"conic_fov": "true", "num_fov_actions": 6, "fully_observable": "true"},
    **{"prob_obs_enemy": 0.5, "action_mask": "false", "obs_all_health": "false"},
    **{"obs_own_health": "false", "obs_own_pos": "false", "obs_last_action": "true"},
    **{"obs_pathing_grid": "true", "obs_terrain_height": "true", "obs_timestep_number": "true"},
    **{"state_last_action": "false", "state_timestep_number": "true", "reward_sparse": "true"},
    **{"reward_only_positive": "true", "reward_death_value": 5.0, "reward_win": 100.0},
    **{"reward_defeat": -1.0, "reward_negative_scale": 1.0, "reward_scale": "false"},
    **{"reward_scale_rate": 10.0, "parallel_games": 4},
}

# The value that each key is changed to, as a word of --config (or the words that go with it), and
# the jobs that this plans.
KEYS: dict[str, tuple[str | list[str] | Edit, Jobs]] = {
    # Another study's folder, which has two seeds.
    "preset": ("preset=laptop", {job: 1 if job in FIGURES | TABLES else 2 for job in ALL}),
    "device": ("device=cpu", ALL),
    "replay_on_device": ("replay_on_device=true", NOTHING),
    "study.name": ("study={name: other}", ALL),
    "study.seed": ("study={seed: 1}", ALL),
    "study.problems": ("study={problems: [SurComb3, SurComb4]}", ALL),
    "study.variants": (
        "study={variants: [qmix, qplex, trama, vdn]}",
        {
            **trained("vdn", "train_without_representation"),
            **BASELINE_SHOWN,
            # Share the variants' colours.
            **each("figure_predictor_accuracy", "figure_label_consistency"),
        },
    ),
    "study.seeds": ("study={seeds: [0, 1]}", ALL),
    "study.reference": (
        "study={reference: qplex}",
        # The new reference has no classes, which claims are about.
        each("table_ablations", "table_numbers", "table_findings", "figure_aggregates"),
    ),
    "problems.<name>.units": ("problems={SurComb3: {units: [3s2z, 2c3z, 1c4s]}}", ALL),
    "problems.<name>.scenarios": ("problems={Particles: {scenarios: [tag_2]}}", NOTHING),
    "problems.<name>.starts": ("problems={SurComb3: {starts: [reflected]}}", ALL),
    # The study has no random teams.
    "problems.<name>.unit_weights": ("problems={zerg_5_vs_5: {unit_weights: {g: 0.5}}}", NOTHING),
    "problems.<name>.team_size": ("problems={zerg_5_vs_5: {team_size: 4}}", NOTHING),
    "problems.<name>.excluded_teams": ("problems={zerg_5_vs_5: {excluded_teams: []}}", NOTHING),
    "problems.<name>.env": ("problems={SurComb3: {env: {smax: {max_steps: 90}}}}", ALL),
    # For evaluation alone.
    "task_sets.<name>.units": ("task_sets={tiny_units: {units: [2s3z]}}", EVALUATE),
    "task_sets.<name>.scenarios": ("task_sets={other_numbers: {scenarios: [tag_2]}}", NOTHING),
    "task_sets.<name>.starts": ("task_sets={tiny_units: {starts: [reflected]}}", EVALUATE),
    "representations.<name>.embedding": (
        Edit(
            """
    embedding: quantised            # quantised | mean_state
    states: weighted                # raw | standardised | summed over like units | weighted sums
    coverage: time_class            # none | time: J(t) | time_class: J(t,k)
    n_codes: 256                    # codebook size
    code_dim: 4                     # dimension of a code
""",
            """
    embedding: mean_state
""",
        ),
        without_codebook(CLUSTER),
    ),
    "representations.<name>.states": ("representations={vqvae: {states: raw}}", PRETRAIN),
    "representations.<name>.coverage": ("representations={vqvae: {coverage: time}}", PRETRAIN),
    "representations.<name>.n_codes": ("representations={vqvae: {n_codes: 128}}", PRETRAIN),
    "representations.<name>.code_dim": ("representations={vqvae: {code_dim: 8}}", PRETRAIN),
    # Coverage J(t,k): pretraining clusters, too.
    "representations.<name>.n_classes": ("representations={vqvae: {n_classes: 4}}", PRETRAIN),
    "representations.<name>.class_number.criterion": (
        "representations={vqvae: {class_number: {criterion: gap}}}",
        PRETRAIN,
    ),
    "representations.<name>.class_number.most": (
        "representations={vqvae: {class_number: {criterion: gap, most: 5}}}",
        PRETRAIN,
    ),
    "representations.<name>.relabel_rounds": (
        "representations={vqvae: {relabel_rounds: 1}}",
        PRETRAIN,
    ),
    "variants.<name>.mixer": ("variants={trama: {mixer: qmix}}", TRAMA),
    "variants.<name>.representation": (
        "variants={trama: {representation: mean_state}}",
        without_codebook({**each("cluster_representation mean_state"), **CLUSTERS_SHOWN, **TRAMA}),
    ),
    "variants.<name>.labels": (
        "variants={trama: {representation: null, labels: true_task}}",
        without_claims(
            {
                **trained("trama", "train_without_representation"),
                **BASELINE_SHOWN,
                **CLASSES_SHOWN,
                **GAIN,
            }
        ),
    ),
    "variants.<name>.train": ("variants={qmix: {train: {gamma: 0.9}}}", QMIX),
    "env.backend": (
        "env={backend: smacv2, smacv2: {max_steps: 90}}",
        {**ALL, "check_starcraft": 1},
    ),
    "env.device": ("env={device: cuda}", ALL),
    "env.smax.max_steps": ("env={smax: {max_steps: 90}}", ALL),
    "env.smax.reward_scale": ("env={smax: {reward_scale: 5.0}}", ALL),
    "env.smax.ally_loss_scale": ("env={smax: {ally_loss_scale: 0.5}}", ALL),
    "env.smax.hide_unit_types": ("env={smax: {hide_unit_types: true}}", ALL),
    "env.smax.dist_ratio": ("env={smax: {dist_ratio: 0.4}}", ALL),
    "env.smax.noise.damage": ("env={smax: {noise: {damage: 0.1}}}", ALL),
    "env.smax.noise.cooldown": ("env={smax: {noise: {cooldown: 0.1}}}", ALL),
    "env.smax.noise.starts": ("env={smax: {noise: {starts: 1.0}}}", ALL),
    "env.smax.noise.enemy": ("env={smax: {noise: {enemy: 0.1}}}", ALL),
    "env.smax.roster.<name>.symbol": (
        [
            "env={smax: {roster: {zealot: {symbol: q}}}}",
            "problems={SurComb3: {units: [3s2q, 2c3q, 2c3s]}, reSurComb3: {units: [3s2q]}, "
            "SurComb4: {units: [3s2q]}, reSurComb4: {units: [3s2q]}}",
            "task_sets={tiny_units: {units: [2s3q, 2s1q]}, tiny_starts: {units: [3s2q, 2s1q]}, "
            "one_changed: {units: [2s3q]}, two_changed: {units: [1s4q]}, "
            "new_numbers: {units: [4s1q]}, one_type: {units: [5q]}, fewer_allies: {units: [2s1q]}, "
            "new_starts: {units: [3s2q]}, units_and_starts: {units: [2s3q]}}",
        ],
        ALL,
    ),
    "env.smax.roster.<name>.speed": ("env={smax: {roster: {zealot: {speed: 3.2}}}}", ALL),
    "env.smax.roster.<name>.damage": ("env={smax: {roster: {zealot: {damage: 17}}}}", ALL),
    "env.smax.roster.<name>.range": ("env={smax: {roster: {zealot: {range: 3}}}}", ALL),
    "env.smax.roster.<name>.sight": ("env={smax: {roster: {zealot: {sight: 10}}}}", ALL),
    "env.smax.roster.<name>.radius": ("env={smax: {roster: {zealot: {radius: 0.6}}}}", ALL),
    "env.smax.roster.<name>.health": ("env={smax: {roster: {zealot: {health: 151}}}}", ALL),
    "env.smax.roster.<name>.cooldown": ("env={smax: {roster: {zealot: {cooldown: 0.9}}}}", ALL),
    # Of a backend that the study does not use.
    **{
        f"env.mpe.{key}": (f"env={{mpe: {{{key}: {value}}}}}", NOTHING)
        for key, value in (
            ("max_steps", 20),
            ("shown_steps", 3),
            ("still_steps", 2),
            ("rewarded_steps", 5),
            ("words", 5),
            ("success_distance", 0.2),
            ("catches", 2),
        )
    },
    **{
        f"env.mpe.reward_scale.{family}": (
            f"env={{mpe: {{reward_scale: {{{family}: 2.0}}}}}}",
            NOTHING,
        )
        for family in ("spread", "reference", "tag")
    },
    "collect.n_envs": ("collect={n_envs: 4}", ALL),
    "collect.network": ("collect={network: flat}", ALL),
    "collect.batch_size": ("collect={batch_size: 8}", ALL),
    "collect.buffer_size": ("collect={buffer_size: 32}", ALL),
    "collect.episodes_per_update": ("collect={episodes_per_update: 2}", ALL),
    "collect.optimiser": ("collect={optimiser: adam}", ALL),
    "collect.learning_rate": ("collect={learning_rate: 0.001}", ALL),
    "collect.rmsprop_alpha": ("collect={rmsprop_alpha: 0.9}", ALL),
    "collect.rmsprop_eps": ("collect={rmsprop_eps: 0.001}", ALL),
    "collect.gamma": ("collect={gamma: 0.9}", ALL),
    "collect.td_lambda": ("collect={td_lambda: 0.5}", ALL),
    "collect.grad_clip": ("collect={grad_clip: 5.0}", ALL),
    "collect.target_update_episodes": ("collect={target_update_episodes: 10}", ALL),
    "collect.epsilon_start": ("collect={epsilon_start: 0.9}", ALL),
    "collect.epsilon_finish": ("collect={epsilon_finish: 0.1}", ALL),
    "collect.epsilon_anneal_steps": ("collect={epsilon_anneal_steps: 900}", ALL),
    "collect.hidden_size": ("collect={hidden_size: 8}", ALL),
    # Of the mixers' sections, a stage reads that of its own mixer.
    "collect.qmix.mixing_size": ("collect={qmix: {mixing_size: 8}}", NOTHING),
    "collect.qmix.hypernet_size": ("collect={qmix: {hypernet_size: 8}}", NOTHING),
    "collect.qplex.heads": ("collect={qplex: {heads: 2}}", ALL),
    "collect.qplex.mixing_size": ("collect={qplex: {mixing_size: 8}}", ALL),
    "collect.qplex.hypernet_size": ("collect={qplex: {hypernet_size: 8}}", ALL),
    "collect.qplex.attention_regulariser": ("collect={qplex: {attention_regulariser: 0.1}}", ALL),
    "collect.qplex.kernels": ("collect={qplex: {kernels: 2}}", ALL),
    "collect.mixer": ("collect={mixer: vdn}", ALL),
    "collect.random_episodes": ("collect={random_episodes: 4}", ALL),
    "collect.env_steps": ("collect={env_steps: 1600}", ALL),
    "collect.std_floor": ("collect={std_floor: 0.02}", ALL),
    "pretrain.updates": ("pretrain={updates: 31}", PRETRAIN),
    "pretrain.batch_size": ("pretrain={batch_size: 16}", PRETRAIN),
    "pretrain.learning_rate": ("pretrain={learning_rate: 0.001}", PRETRAIN),
    "pretrain.hidden_size": ("pretrain={hidden_size: 32}", PRETRAIN),
    "pretrain.vq_weight": ("pretrain={vq_weight: 0.5}", PRETRAIN),
    "pretrain.commitment_weight": ("pretrain={commitment_weight: 0.5}", PRETRAIN),
    "pretrain.coverage_weight": ("pretrain={coverage_weight: 0.5}", PRETRAIN),
    "cluster.max_trajectories": ("cluster={max_trajectories: 4000}", CLUSTER),
    # Read by the re-clusterings of training alone.
    "cluster.min_trajectories": ("cluster={min_trajectories: 9}", TRAMA),
    "cluster.min_clusters": ("cluster={min_clusters: 2}", TRAMA),
    "cluster.n_init": ("cluster={n_init: 3}", PRETRAIN),
    "cluster.classifier.hidden_sizes": ("cluster={classifier: {hidden_sizes: [8]}}", CLUSTER),
    "cluster.classifier.learning_rate": ("cluster={classifier: {learning_rate: 0.1}}", CLUSTER),
    "cluster.classifier.epochs": ("cluster={classifier: {epochs: 3}}", CLUSTER),
    "cluster.criteria": ("cluster={criteria: [silhouette]}", CLUSTER),
    "cluster.classifier.batch_size": ("cluster={classifier: {batch_size: 8}}", CLUSTER),
    # `all` has no part in it.
    "predict.updates": ("predict={updates: 31}", NOTHING),
    "predict.batch_size": ("predict={batch_size: 8}", NOTHING),
    "predict.learning_rate": ("predict={learning_rate: 0.01}", NOTHING),
    "predict.held_out": ("predict={held_out: 0.5}", NOTHING),
    "train.n_envs": ("train={n_envs: 4}", TRAIN),
    "train.network": ("train={network: flat}", TRAIN),
    "train.batch_size": ("train={batch_size: 8}", TRAIN),
    "train.buffer_size": ("train={buffer_size: 32}", TRAIN),
    "train.episodes_per_update": ("train={episodes_per_update: 2}", TRAIN),
    "train.optimiser": ("train={optimiser: adam}", TRAIN),
    "train.learning_rate": ("train={learning_rate: 0.001}", TRAIN),
    "train.rmsprop_alpha": ("train={rmsprop_alpha: 0.9}", TRAIN),
    "train.rmsprop_eps": ("train={rmsprop_eps: 0.001}", TRAIN),
    "train.gamma": ("train={gamma: 0.9}", TRAIN),
    "train.td_lambda": ("train={td_lambda: 0.5}", TRAIN),
    "train.grad_clip": ("train={grad_clip: 5.0}", TRAIN),
    "train.target_update_episodes": ("train={target_update_episodes: 10}", TRAIN),
    "train.epsilon_start": ("train={epsilon_start: 0.9}", TRAIN),
    "train.epsilon_finish": ("train={epsilon_finish: 0.1}", TRAIN),
    "train.epsilon_anneal_steps": ("train={epsilon_anneal_steps: 900}", TRAIN),
    "train.hidden_size": ("train={hidden_size: 8}", TRAIN),
    "train.qmix.mixing_size": ("train={qmix: {mixing_size: 8}}", QMIX),
    "train.qmix.hypernet_size": ("train={qmix: {hypernet_size: 8}}", QMIX),
    "train.qplex.heads": ("train={qplex: {heads: 2}}", QPLEX | TRAMA),
    "train.qplex.mixing_size": ("train={qplex: {mixing_size: 8}}", QPLEX | TRAMA),
    "train.qplex.hypernet_size": ("train={qplex: {hypernet_size: 8}}", QPLEX | TRAMA),
    "train.qplex.attention_regulariser": (
        "train={qplex: {attention_regulariser: 0.1}}",
        QPLEX | TRAMA,
    ),
    "train.qplex.kernels": ("train={qplex: {kernels: 2}}", QPLEX | TRAMA),
    "train.env_steps": ("train={env_steps: 4000}", TRAIN),
    "train.test_interval": ("train={test_interval: 500}", TRAIN),
    "train.test_episodes": ("train={test_episodes: 5}", TRAIN),
    "train.weight_average_decay": ("train={weight_average_decay: 0.5}", TRAIN),
    "train.mixer_states": ("train={mixer_states: raw}", TRAIN),
    "train.start": ("train={start: scratch}", TRAMA),
    "train.warm_start": ("train={warm_start: false}", TRAMA),
    "train.predictor.hidden_size": ("train={predictor: {hidden_size: 8}}", TRAMA),
    "train.predictor.loss_weight": ("train={predictor: {loss_weight: 0.2}}", TRAMA),
    "train.class_representation.kind": ("train={class_representation: {kind: one_hot}}", TRAMA),
    "train.class_representation.hidden_size": (
        "train={class_representation: {hidden_size: 8}}",
        TRAMA,
    ),
    "train.class_representation.conditioning": (
        "train={class_representation: {conditioning: film}}",
        TRAMA,
    ),
    "train.class_representation.size": ("train={class_representation: {size: 8}}", TRAMA),
    "train.class_representation.dropout": (
        "train={class_representation: {dropout: 0.1}}",
        {**TRAMA, **each("table_fallback")},
    ),
    "train.vqvae_updates.learning_rate": ("train={vqvae_updates: {learning_rate: 0.1}}", TRAMA),
    "train.vqvae_updates.interval_episodes": (
        "train={vqvae_updates: {interval_episodes: 5}}",
        TRAMA,
    ),
    "train.checkpoint_minutes": ("train={checkpoint_minutes: 1.0}", NOTHING),
    "train.keep_checkpoint": ("train={keep_checkpoint: true}", NOTHING),
    "train.vqvae_updates.dense_env_steps": ("train={vqvae_updates: {dense_env_steps: 0}}", TRAMA),
    "train.clustering.first_env_steps": ("train={clustering: {first_env_steps: 900}}", TRAMA),
    "train.clustering.interval_episodes": ("train={clustering: {interval_episodes: 9}}", TRAMA),
    "train.clustering.interval_env_steps": ("train={clustering: {interval_env_steps: 900}}", TRAMA),
    "train.clustering.initialisation": ("train={clustering: {initialisation: random}}", TRAMA),
    "train.mixture_shift.amount": (
        "train={mixture_shift: {amount: 0.5, interval_env_steps: 900}}",
        TRAIN,
    ),
    # The mixture does not shift.
    "train.mixture_shift.interval_env_steps": (
        "train={mixture_shift: {interval_env_steps: 900}}",
        NOTHING,
    ),
    "evaluate.episodes": ("evaluate={episodes: 5}", EVALUATE),
    "evaluate.policies": ("evaluate={policies: [last]}", EVALUATE),
    **{
        f"env.smacv2.{key}": (f"env={{smacv2: {{{key}: {value}}}}}", NOTHING)
        for key, value in SMACV2.items()
    },
    **{
        f"env.smacv2.patience.{key}": (f"env={{smacv2: {{patience: {{{key}: 7}}}}}}", NOTHING)
        for key in ("start_seconds", "step_seconds", "interval_seconds", "attempts")
    },
    "evaluate.task_sets": ("evaluate={task_sets: [tiny_units]}", EVALUATE),
    "evaluate.given_classes": ("evaluate={given_classes: [wrong_class]}", EVALUATE_TRAMA),
    # Of targets that are no part of `all`.
    "experiments.<name>.question": ("experiments={labels: {question: Why}}", NOTHING),
    "experiments.<name>.problems": ("experiments={labels: {problems: [SurComb4]}}", NOTHING),
    "experiments.<name>.seeds": ("experiments={labels: {seeds: [0]}}", NOTHING),
    "experiments.<name>.representations": (
        "experiments={clusters: {representations: [vqvae]}}",
        NOTHING,
    ),
    "experiments.<name>.variants": ("experiments={labels: {variants: [trama]}}", NOTHING),
    "experiments.<name>.baselines": (
        "experiments={labels: {baselines: {trama_4_random: trama_4_matched}}}",
        NOTHING,
    ),
    "experiments.<name>.measures": ("experiments={labels: {measures: [ari]}}", NOTHING),
    "evaluate.fallback.score": (
        ["evaluate={fallback: {score: energy}}", "train={class_representation: {dropout: 0.1}}"],
        {**TRAMA, **each("table_fallback")},
    ),
    "evaluate.fallback.quantile": ("evaluate={fallback: {quantile: 0.9}}", NOTHING),  # not in use
    "figures.formats": ("figures={formats: [pdf]}", NOTHING),  # what there is has not changed
    "figures.dpi": ("figures={dpi: 100}", FIGURES),
    "figures.smoothing": ("figures={smoothing: 2}", each("figure_learning_curves")),
    "figures.policy": ("figures={policy: best}", EVALUATION_FIGURES),
    "tables.decimals": (
        "tables={decimals: 1}",
        {
            job: number
            for job, number in TABLES.items()
            if job not in ("table_hyperparameters", "table_compute", "table_cost")
        },
    ),
    "tables.policy": (
        "tables={policy: best}",
        each(
            *("table_results", "table_ood", "table_ood_tasks", "table_class_use", "table_novelty"),
            *("table_win_rates", "table_ablations", "table_claims"),
            *("table_numbers", "table_findings"),
        ),
    ),
    **{
        f"resources.{rule}.{key}": (f"resources={{{rule}: {{{key}: {value}}}}}", NOTHING)
        for rule in (
            *("collect", "pretrain", "cluster", "predict", "train", "evaluate"),
            *("figures", "tables"),
        )
        for key, value in (("threads", 2), ("mem_mb", 2500), ("runtime", 11), ("gpu", 1))
    },
}


def leaf_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Key paths of `model`, those of sections in place of the section itself."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        inner = f"{path}.<name>" if get_origin(field.annotation) is dict else path
        sections = sections_of(field)
        for section in sections:
            yield from leaf_keys(section, f"{inner}.")
        if not sections:
            yield path


@pytest.fixture(scope="module")
def planned(finished_study: Path) -> dict[str, DryRun]:
    """The dry run of the finished study with each key's change on the command line."""
    changes = {}
    for key, (change, _) in KEYS.items():
        if isinstance(change, str):
            changes[key] = [change]
        elif isinstance(change, list):
            changes[key] = change
    arguments = [["--config", "preset=tiny", *change] for change in changes.values()]
    return dict(zip(changes, dry_runs(finished_study, arguments), strict=True))


def test_the_table_has_every_key() -> None:
    assert set(KEYS) == set(leaf_keys(Config))


@pytest.mark.parametrize("key", [k for k, row in KEYS.items() if isinstance(row[0], str | list)])
def test_a_changed_key_plans_its_jobs(key: str, planned: dict[str, DryRun]) -> None:
    assert named_jobs(planned[key]) == KEYS[key][1]


@pytest.mark.parametrize("key", [k for k, row in KEYS.items() if isinstance(row[0], Edit)])
def test_an_edited_definition_plans_its_jobs(key: str, copied_study: Path) -> None:
    edit, jobs = KEYS[key]
    assert isinstance(edit, Edit)
    config = copied_study / "config/config.yaml"
    text = config.read_text()
    assert text.count(edit.old) == 1
    config.write_text(text.replace(edit.old, edit.new))
    assert named_jobs(dry_runs(copied_study, [["--config", "preset=tiny"]])[0]) == jobs
