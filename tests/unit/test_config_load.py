"""Reading the configuration: precedence, and one clear message for whatever is wrong."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from trama.config.load import check_experiment, load_config
from trama.config.model import RL, Config
from trama.config.trees import deep_merge
from trama.errors import TramaError

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config" / "config.yaml"
SHIPPED = ROOT / "config"
CONFIGFILES = sorted({*SHIPPED.glob("*.yaml")} - {CONFIG, SHIPPED / "experiments.yaml"})


def _load(
    text: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    tmp_path: Path | None = None,
) -> Config:
    """The repository's configuration, with `text` as a --configfile."""
    extra = []
    if text is not None:
        assert tmp_path is not None
        extra = [tmp_path / "extra.yaml"]
        extra[0].write_text(text, encoding="utf-8")
    return load_config(CONFIG, SHIPPED, extra, overrides)


def _shipped(folder: Path) -> Path:
    """A folder in place of `SHIPPED`, without experiments and presets yet."""
    (folder / "presets").mkdir()
    (folder / "experiments.yaml").touch()
    return folder


@pytest.mark.parametrize("preset", ["laptop", "paper", "claims", "tiny"])
def test_every_preset_is_valid(preset: str) -> None:
    config = _load(overrides={"preset": preset})
    assert config.preset == config.study.name == preset


@pytest.mark.parametrize("file", CONFIGFILES, ids=[file.stem for file in CONFIGFILES])
def test_every_configfile_is_valid(file: Path) -> None:
    config = load_config(CONFIG, SHIPPED, [file])
    assert config.study.name == file.stem
    own = yaml.safe_load(file.read_text(encoding="utf-8")).get("experiments", {})
    assert set(own) <= set(config.playable_experiments)


def test_claims_are_trained_at_the_scale_of_the_laptop_preset() -> None:
    """But for what is compared, K, the VQ-VAE of trama_online, and the best policies."""
    laptop, claims = (
        _load(overrides={"preset": preset}).model_dump(exclude={"preset", "study"})
        for preset in ("laptop", "claims")
    )
    for name in ("vqvae", "mean_state"):
        assert laptop["representations"][name].pop("n_classes") == 3
        assert claims["representations"][name].pop("n_classes") == 4
    laptop_online, claims_online = (
        preset["variants"].pop("trama_online")["train"] for preset in (laptop, claims)
    )
    assert claims_online.pop("vqvae_updates") == {"dense_env_steps": 50_000}
    assert laptop_online == claims_online
    assert laptop["evaluate"].pop("policies") == ("last", "best")
    assert claims["evaluate"].pop("policies") == ("last",)
    assert laptop == claims


@pytest.mark.parametrize("preset", ["tiny", "laptop", "claims", "paper"])
def test_a_training_learns_as_the_stage_collect_that_it_goes_on_from(preset: str) -> None:
    config = _load(overrides={"preset": preset})
    shared = [(getattr(config.collect, k), getattr(config.train, k)) for k in RL.model_fields]
    assert all(collect == train for collect, train in shared)
    assert config.start_of("trama") == "collect"


def test_paper_preset_is_published_scale() -> None:
    train = _load(overrides={"preset": "paper"}).train
    assert (train.optimiser, train.learning_rate, train.episodes_per_update) == ("rmsprop", 5e-4, 1)
    assert (train.buffer_size, train.target_update_episodes) == (5000, 200)
    assert 2_000_000 <= train.env_steps <= 5_000_000


def test_precedence(tmp_path: Path) -> None:
    """Each source wins over those below it, and leaves keys that it does not set alone."""
    base = tmp_path / "config.yaml"
    preset = _shipped(tmp_path) / "presets/laptop.yaml"
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    needed = "study: {problems: [P], variants: [v]}\nproblems: {P: {units: [1s]}}\n"
    needed += "variants: {v: {mixer: vdn}}\n"
    preset.write_text("pretrain: {updates: 1, vq_weight: 1, hidden_size: 1}")
    keys = ("updates", "vq_weight", "hidden_size", "batch_size", "learning_rate", "coverage_weight")
    steps: list[tuple[str, list[float]]] = []

    def record(name: str, overrides: Mapping[str, Any]) -> None:
        extra = [path for path in (first, second) if path.exists()]
        pretrain = load_config(base, tmp_path, extra, overrides).pretrain
        steps.append((name, [getattr(pretrain, key) for key in keys]))

    base.write_text(needed)
    record("preset over defaults", {})
    base.write_text(needed + "pretrain: {vq_weight: 2, hidden_size: 2, batch_size: 2}")
    record("config.yaml over preset", {})
    first.write_text("pretrain: {hidden_size: 3, batch_size: 3, learning_rate: 0.3}")
    record("configfile over config.yaml", {})
    second.write_text("pretrain: {batch_size: 4, learning_rate: 0.4}")
    record("later configfile over earlier", {})
    record("--config over all", {"pretrain": {"learning_rate": "0.5"}})
    assert steps == [
        ("preset over defaults", [1, 1, 1, 32, 5e-4, 0.125]),
        ("config.yaml over preset", [1, 2, 2, 2, 5e-4, 0.125]),
        ("configfile over config.yaml", [1, 2, 3, 3, 0.3, 0.125]),
        ("later configfile over earlier", [1, 2, 3, 4, 0.4, 0.125]),
        ("--config over all", [1, 2, 3, 4, 0.5, 0.125]),
    ]


def test_preset_name_is_resolved_by_the_same_precedence(tmp_path: Path) -> None:
    base = tmp_path / "config.yaml"
    live = CONFIG.read_text(encoding="utf-8").replace("preset: laptop", "")
    extra = tmp_path / "extra.yaml"
    base.write_text(live)
    assert load_config(base, SHIPPED).study.name == "laptop"
    base.write_text(live + "\npreset: paper\n")
    assert load_config(base, SHIPPED).study.name == "paper"
    extra.write_text("preset: tiny")
    assert load_config(base, SHIPPED, [extra]).study.name == "tiny"
    assert load_config(base, SHIPPED, [extra], {"preset": "laptop"}).study.name == "laptop"


def test_lists_replace_and_mappings_merge(tmp_path: Path) -> None:
    config = _load("study: {seeds: [7]}\nproblems: {Mine: {units: [2s, 2z]}}", None, tmp_path)
    assert config.study.seeds == (7,)
    assert {"Mine", "SurComb3"} <= set(config.problems)


def test_nested_values_of_the_command_line_are_typed() -> None:
    """Snakemake hands over nested values of --config as text."""
    overrides = {
        "study": {"seeds": ["3", "4"], "name": "again"},
        "train": {"env_steps": "90000", "gamma": "0.5"},
        "variants": {"trama": {"representation": "null"}},
    }
    config = _load(overrides=overrides)
    assert config.study.seeds == (3, 4)
    assert (config.train.env_steps, config.train.gamma) == (90_000, 0.5)
    assert config.variants["trama"].representation is None


def test_section_without_live_keys_keeps_its_defaults(tmp_path: Path) -> None:
    config = _load("train:\npretrain:\nrepresentations: {plain: }\n", None, tmp_path)
    assert config.train == _load().train
    assert config.representations["plain"].n_codes == 256


def test_overrides_of_a_variant_reach_its_training(tmp_path: Path) -> None:
    config = _load("variants: {qmix: {train: {qmix: {mixing_size: 8}}}}", None, tmp_path)
    assert config.train_for("qmix").qmix.mixing_size == 8
    assert config.train_for("qmix").qmix.hypernet_size == config.train.qmix.hypernet_size
    assert config.train_for("qplex") == config.train


def test_overrides_of_a_problem_reach_its_environments(tmp_path: Path) -> None:
    text = "problems: {SurComb4: {env: {smax: {max_steps: 50, roster: {zealot: {health: 90}}}}}}"
    config = _load(text, None, tmp_path)
    base, merged = config.env, config.env_for("SurComb4")
    assert config.env_for("SurComb3") == base == _load().env
    assert (base.smax.max_steps, merged.smax.max_steps) == (100, 50)
    zealot = base.smax.roster["zealot"].model_copy(update={"health": 90})
    assert merged.smax.roster == {**base.smax.roster, "zealot": zealot}
    assert merged == base.model_copy(update={"smax": merged.smax})
    commented = _load("problems: {SurComb4: {env: {smax: }}}", None, tmp_path)
    assert commented.env_for("SurComb4") == base


def test_only_problems_of_the_study_are_held_to_the_backend(tmp_path: Path) -> None:
    """The others may be for another one; and one problem may be for both."""
    both = "{smax: {max_steps: 60}, smacv2: {max_steps: 90}}"
    other = "{smacv2: {max_steps: 90}}"
    text = f"problems: {{SurComb4: {{env: {other}}}, SurComb3: {{env: {both}}}}}"
    for backend in ("smax", "smacv2"):
        config = _load(text, {"env": {"backend": backend}}, tmp_path)
        assert config.env_for("SurComb3").settings.episode_limit == (
            61 if backend == "smax" else 90
        )


SENTRY = (
    "{symbol: q, speed: 3, damage: 9, range: 5, sight: 9, radius: 0.4, health: 45, cooldown: 0.6}"
)


def test_units_are_those_of_the_problems_own_environment(tmp_path: Path) -> None:
    own = f"Own: {{units: [3q2s, 5q], env: {{smax: {{roster: {{sentry: {SENTRY}}}}}}}}}"
    base = {"study": {"problems": ["Own"]}, "evaluate": {"task_sets": ["others"]}}
    task_set = "task_sets: {others: {units: [4q1s]}}"
    config = _load(f"problems: {{{own}}}\n{task_set}", base, tmp_path)
    assert config.env_for("Own").smax.units["q"] == "sentry"
    with pytest.raises(TramaError) as caught:
        _load(f"problems: {{{own}, More: {{units: [5q]}}}}\n{task_set}", base, tmp_path)
    assert "problems.More.units[0]" in str(caught.value)
    both = {**base, "study": {"problems": ["SurComb3", "Own"]}}
    with pytest.raises(TramaError) as caught:
        _load(f"problems: {{{own}}}\n{task_set}", both, tmp_path)
    (_, line) = str(caught.value).splitlines()
    assert "does not suit problem 'SurComb3': '4q1s' has a unit type that the problem does" in line


# A malformed --configfile, and what the message must hold besides the file's name.
MALFORMED: list[tuple[str, list[str]]] = [
    ("tran: {gamma: 0.9}", ["line 1", "tran =", "no such key", "Did you mean 'train'?"]),
    ("train: {gama: 0.9}", ["train.gama = 0.9", "no such key", "Did you mean 'gamma'?"]),
    ("study:\n  problms: [1]", ["line 2", "study.problms = [1]", "Did you mean 'problems'?"]),
    # By a merge key, where keys of one's own are in force, and then those of the first.
    ("pretrain: &a\n  vq_weight: 1\npredict:\n  <<: *a", ["line 2: predict.vq_weight = 1"]),
    (
        "pretrain: &a\n  updates: 5\ncluster: &b\n  updates: 5\npredict:\n  <<: [*a, *b]\n"
        "  updates: -5",
        ["line 7: predict.updates = -5"],
    ),
    (
        "x: [&a {updates: -5},\n&b {updates: -6}]\npredict:\n  <<: [*a, *b]",
        ["line 1: predict.updates = -5"],
    ),
    (
        "train: {predictor: {weight: 1}}",
        ["train.predictor.weight = 1", "Did you mean 'loss_weight'?"],
    ),
    ("device: cud", ['device = "cud"', "one of auto, cpu, cuda", "Did you mean 'cuda'?"]),
    ("variants: {qmix: {mixer: qmxi}}", ['variants.qmix.mixer = "qmxi"', "Did you mean 'qmix'?"]),
    ("study: {problems: [SurComb5]}", ["study.problems[0]", "SurComb5", "Did you mean 'SurComb"]),
    ("study: {variants: [qmix, qplx]}", ['study.variants[1] = "qplx"', "Did you mean 'qplex'?"]),
    (
        "variants: {trama: {representation: vqave}}",
        ['variants.trama.representation = "vqave"', "Did you mean 'vqvae'?"],
    ),
    ("preset: laptob", ["line 1", 'preset = "laptob"', "Did you mean 'laptop'?"]),
    ("study: {seeds: [1, 2, 1]}", ["study.seeds[2] = 1", "twice"]),
    ("study: {problems: [SurComb3, SurComb3]}", ["study.problems[1]", "SurComb3", "twice"]),
    ("study: {variants: [qmix, qmix]}", ["study.variants[1]", "qmix", "twice"]),
    ("study: {seeds: []}", ["study.seeds = []", "at least 1"]),
    ("study: {seeds: 3}", ["study.seeds = 3", "a list"]),
    ("study: {seeds: [-1]}", ["study.seeds[0] = -1", "from 0 to"]),
    ("study: {seeds: [true]}", ["study.seeds[0] = true", "a whole number"]),
    ("study: {name: my study}", ['study.name = "my study"', "letters, digits and underscores"]),
    ("variants: {a/b: {mixer: vdn}}", ["variants.a/b", "letters, digits and underscores"]),
    ("representations: {vqvae: {n_codes: 2}}", ["n_classes = 3", "larger than the codebook", "2"]),
    (
        "representations: {mean_state: {code_dim: 4}}",
        ["representations.mean_state.code_dim = 4", "mean_state", "remove it"],
    ),
    (
        "representations: {vqvae: {coverage: time, relabel_rounds: 2}}",
        ["representations.vqvae.relabel_rounds = 2", 'coverage = "time"', "remove it"],
    ),
    ("representations: {vqvae: {n_classes: 300}}", ["n_classes = 300", "n_codes = 256"]),
    (
        "representations: {own: {class_number: {most: 5}}}",
        ["representations.own.class_number.criterion is missing", "one of silhouette, gap, bic"],
    ),
    (
        "representations: {own: {class_number: {criterion: silhuette}}}",
        ['class_number.criterion = "silhuette"', "Did you mean 'silhouette'?"],
    ),
    (
        "representations: {own: {n_codes: 6, class_number: {criterion: gap}}}",
        ["larger than the codebook: class_number.most (8)", "representations.own.n_codes = 6"],
    ),
    (
        "representations: {own: {class_number: {criterion: gap, most: 1}}}",
        ["representations.own.class_number.most = 1", "a whole number of at least 2"],
    ),
    (
        "representations: {vqvae_chosen: {class_number: {most: 200}}}\n"
        "variants: {trama: {representation: vqvae_chosen}}\ncluster: {min_trajectories: 100}",
        ["vqvae_chosen.class_number.most = 200", "cluster.min_trajectories (100)"],
    ),
    ("cluster: {criteria: [gap, bic, gap]}", ['cluster.criteria[2] = "gap"', "twice"]),
    (
        "variants: {qmix: {labels: clusters}}",
        ['variants.qmix.labels = "clusters"', "no effect without a representation"],
    ),
    (
        "variants: {trama: {labels: true_task}}",
        ['variants.trama.representation = "vqvae"', "oracle", 'labels = "true_task"'],
    ),
    (
        "variants: {trama_oracle: {train: {clustering: {interval_episodes: 9}}}}",
        ["variants.trama_oracle.train.clustering", "labels true_task", "remove it"],
    ),
    (
        "variants: {qmix: {train: {class_representation: {kind: one_hot}}}}",
        ["variants.qmix.train.class_representation", "no trajectory classes"],
    ),
    (
        "variants: {qmix: {train: {qplex: {heads: 2}}}}",
        ["variants.qmix.train.qplex", "mixer qmix", "remove it"],
    ),
    (
        "variants: {qmix: {train: {gama: 0.9}}}",
        ["variants.qmix.train.gama = 0.9", "Did you mean 'gamma'?"],
    ),
    (
        "variants: {trama: {train: {predictor: {loss_weight: -1}}}}",
        ["variants.trama.train.predictor.loss_weight = -1", "a number of at least 0"],
    ),
    (
        "variants: {qmix: {train: {env_steps: 10}}}",
        ["train.test_interval = 20000", "variants.qmix.train.env_steps = 10"],
    ),
    ("variants: {own: {representation: vqvae}}", ["variants.own.mixer is missing", "vdn, qmix"]),
    ("problems: {Mine: {units: [3s2z, 2c2z]}}", ["problems.Mine.units[1]", "2c2z", "same size"]),
    ("problems: {Mine: {units: [3s2x]}}", ["problems.Mine.units[0]", "'x'", "s (stalker)"]),
    ("problems: {Mine: {units: [s3]}}", ["problems.Mine.units[0]", "such as 3s2z"]),
    ("problems: {Mine: {units: [3s2z, 2z3s]}}", ["problems.Mine.units[1]", "same team", "3s2z"]),
    ("problems: {Mine: {units: [1s2s]}}", ["problems.Mine.units[0]", "symbol twice"]),
    (
        "problems: {Mine: {units: [5s], starts: [surounded]}}",
        ["problems.Mine.starts[0]", "Did you mean 'surrounded'?"],
    ),
    ("problems: {Mine: [3s2z]}", ["problems.Mine", "must be a mapping"]),
    ("problems: {Mine: {unts: [5s]}}", ["problems.Mine =", "give units (unit combinations)"]),
    (
        "problems: {Mine: {units: [5s], strts: [reflected]}}",
        ["problems.Mine.strts =", "no such key", "Did you mean 'starts'?"],
    ),
    ("task_sets: {own: {}}", ["task_sets.own =", "no key says", "give units (unit combinations)"]),
    ("task_sets: {own: {units: [3s2x]}}", ["task_sets.own.units[0]", "'x'", "s (stalker)"]),
    ("task_sets: {own: {units: [1s, 2z, 1s]}}", ["task_sets.own.units[2]", "twice"]),
    ("task_sets: {own: {units: [1s2z, 2z1s]}}", ["task_sets.own.units[1]", "same team", "1s2z"]),
    ("task_sets: {own: {units: [30s]}}", ["task_sets.own.units[0]", "at most 20"]),
    (
        "task_sets: {own: {units: [1s], starts: [surounding]}}",
        ["task_sets.own.starts[0]", "Did you mean 'surrounding'?"],
    ),
    ("task_sets: {trained: {units: [5s]}}", ["task_sets.trained", "choose another name"]),
    (
        "problems: {experiment: {units: [3s2z]}}",
        ["problems.experiment", "experiment_...", "choose another name"],
    ),
    (
        "task_sets: {one_type: {units: [2c3s, 3s2z]}}",
        ["evaluate.task_sets[3]", "the study train on all of its tasks"],
    ),
    ("evaluate: {task_sets: [one_tipe]}", ["evaluate.task_sets[0]", "Did you mean 'one_type'?"]),
    ("evaluate: {task_sets: [one_type, one_type]}", ["evaluate.task_sets[1]", "twice"]),
    (
        "problems: {SurComb3: {units: [2s3z]}}\nevaluate: {task_sets: [one_changed]}",
        [
            'evaluate.task_sets[0] = "one_changed"',
            "does not suit problem 'SurComb3': '2c1s2z' has a unit type that the problem does not "
            "have: 'c'",
            "[task_sets.one_changed.units[1]",
            '[problems.SurComb3.units = ["2s3z"] in',
        ],
    ),
    (
        "problems: {SurComb3: {units: [2s1z]}}\n"
        "evaluate: {task_sets: [one_changed, fewer_allies, one_type]}",
        [
            'evaluate.task_sets[0] = "one_changed"',
            "Nor do fewer_allies, one_type: leave them out (evaluate.task_sets: [])",
        ],
    ),
    (
        "problems: {SurComb3: {units: [1s1z]}}\ntask_sets: {own: {units: [1s, 2s, 2s1z, 4z]}}\n"
        "evaluate: {task_sets: [own]}",
        ["evaluate.task_sets[0]", "'2s1z' is a team of 3, the problem has teams of 2"],
    ),
    (
        "problems: {SurComb3: {env: {smax: {max_stps: 9}}}}",
        ["problems.SurComb3.env.smax.max_stps = 9", "no such key", "Did you mean 'max_steps'?"],
    ),
    (
        "problems: {zerg_5_vs_5: {env: {smacv2: {difficulty: 11}}}}",
        ["problems.zerg_5_vs_5.env.smacv2.difficulty = 11", "a whole number from 1 to 10"],
    ),
    ("problems: {SurComb3: {env: 3}}", ["problems.SurComb3.env = 3", "a mapping of keys"]),
    (
        "problems: {SurComb3: {env: {smax: {roster: {zealot: {symbol: s}}}}}}",
        [
            'problems.SurComb3.env.smax.roster.zealot.symbol = "s"',
            "of 'stalker'",
            '[env.smax.roster.stalker.symbol = "s" in',
        ],
    ),
    (
        "problems: {Particles: {env: {backend: mpe}}}",
        [
            'problems.Particles.env.backend = "mpe"',
            "backend is the same for all problems: set it in section env",
            '[env.backend = "smax" in',
        ],
    ),
    (
        "problems: {SurComb3: {env: {device: cuda, smax: {max_steps: 9}}}}",
        ['problems.SurComb3.env.device = "cuda"', "device is the same for all problems"],
    ),
    (
        "problems: {SurComb4: {env: {smacv2: {patience: {attempts: 9}}}}}",
        ["problems.SurComb4.env.smacv2.patience = ", "patience is the same for all problems"],
    ),
    (
        "problems: {SurComb3: {env: {mpe: {words: 4}}}}",
        ["problems.SurComb3.env.mpe = ", "unit combinations, which backend mpe does not play"],
    ),
    (
        "problems: {Two: {units: [3s2z], env: {smax: {roster: {colossus: {health: 300}}}}}}",
        [
            "problems.Two.env.smax.roster.colossus = ",
            "smax.roster.colossus has no effect on this problem: remove it",
        ],
    ),
    (
        "problems: {SurComb3: {env: {smacv2: {max_steps: 90}}}}",
        ["problems.SurComb3.env = ", "changes nothing on backend smax", "[env.backend = "],
    ),
    (
        "problems: {SurComb3: {env: {smax: {max_steps: 2000}}}}",
        [
            "collect.env_steps = 40000",
            "64032",
            "[problems.SurComb3.env.smax.max_steps = 2000 in",
        ],
    ),
    ("study: {reference: tramma}", ["study.reference", "study.variants", "Did you mean 'trama'?"]),
    ("train: {learning_rate: 5e-4}", ["train.learning_rate", '"5e-4"', "write 5.0e-4"]),
    (
        "train: {env_steps: 1.5}",
        ["train.env_steps = 1.5", "a whole number from 1 to 1000000000000"],
    ),
    ("train: {env_steps: '30000'}", ['train.env_steps = "30000"', "write 30000, without quotes"]),
    ("train: {env_steps: 1e6}", ['train.env_steps = "1e6"', "as text: write 1000000."]),
    ("train: {env_steps: 30000.0}", ["train.env_steps = 30000.0", "1000000000000. Write 30000."]),
    ("train: {gamma: '0.9'}", ['train.gamma = "0.9"', "write 0.9, without quotes"]),
    ("train: {grad_clip: '5'}", ['train.grad_clip = "5"', "write 5, without quotes"]),
    ("study: {seeds: [1e1]}", ['study.seeds[0] = "1e1"', "write 10."]),
    ("train: {gamma: 1.5}", ["train.gamma = 1.5", "a number from 0 to 1"]),
    ("train: {gamma: .nan}", ["train.gamma = NaN", "a number from 0 to 1"]),
    ("train: {learning_rate: 0}", ["train.learning_rate = 0", "a number above 0"]),
    ("train: 5", ["train = 5", "must be a mapping"]),
    (
        "train: {epsilon_start: 0.1, epsilon_finish: 0.2}",
        ["train.epsilon_finish = 0.2", "must not be larger than", "train.epsilon_start = 0.1"],
    ),
    (
        "collect: {batch_size: 64, buffer_size: 40}",
        ["collect.batch_size = 64", "collect.buffer_size = 40"],
    ),
    ("train: {buffer_size: 8, batch_size: 4}", ["train.n_envs = 32", "train.buffer_size = 8"]),
    (
        "train: {buffer_size: 400}",
        ["cluster.min_trajectories = 500", "never clusters again", "train.buffer_size = 400"],
    ),
    (
        "variants: {trama: {train: {buffer_size: 400}}}",
        ["cluster.min_trajectories = 500", "variants.trama.train.buffer_size = 400"],
    ),
    (
        "train: {env_steps: 30000}",
        ["first_env_steps = 40000", "train.env_steps (30000)", "before it clusters again"],
    ),
    (
        "train: {env_steps: 50000}",
        [
            "train.env_steps = 50000",
            "has collect.env_steps (40000) in it, as variant 'trama' learns",
            "train.test_interval (20000)",
        ],
    ),
    (
        "variants: {trama: {train: {clustering: {first_env_steps: 160001}}}}",
        ["than train.env_steps (200000) without collect.env_steps (40000)"],
    ),
    (
        "variants: {trama: {train: {clustering: {first_env_steps: 200001}}}}",
        [
            "variants.trama.train.clustering.first_env_steps = 200001",
            "than train.env_steps (200000)",
        ],
    ),
    (
        "collect: {env_steps: 3231}",
        ["collect.env_steps = 3231", "at least n_envs x 101 = 3232", "no episode"],
    ),
    (
        "env: {smax: {max_steps: 2000}}",
        ["collect.env_steps = 40000", "64032", "[env.smax.max_steps = 2000 in"],
    ),
    (
        "collect: {random_episodes: 400}",
        ["collect.random_episodes = 400", "42016 env steps", "[collect.env_steps = 40000 in"],
    ),
    ("train: {rmsprop_alpha: 1}", ["train.rmsprop_alpha = 1", "of at least 0 and below 1"]),
    (
        "variants: {qmix: {train: {rmsprop_eps: 0.1}}}",
        ["variants.qmix.train.rmsprop_eps = 0.1", "optimiser adam", "remove it"],
    ),
    (
        "train: {epsilon_anneal_steps: 1000000000001}",
        ["train.epsilon_anneal_steps = 1000000000001", "from 1 to 1000000000000"],
    ),
    ("problems: {Mine: {units: [21s]}}", ["problems.Mine.units[0]", "team of 21", "at most 20"]),
    (
        "env: {smax: {roster: {zealot: {radius: 5}}}}",
        ["zealot.radius = 5", "above 0 and at most 4"],
    ),
    ("env: {smax: {roster: {zealot: {sight: 33}}}}", ["zealot.sight = 33", "at most 32"]),
    ("env: {smax: {roster: {zealot: {range: 33}}}}", ["zealot.range = 33", "at most 32"]),
    ("env: {smax: {roster: {zealot: {speed: 33}}}}", ["zealot.speed = 33", "from 0 to 32"]),
    (
        "env: {smax: {noise: {enemy: 1.5, starts: 17}}}",
        ["env.smax.noise.enemy = 1.5", "a number from 0 to 1", "starts = 17", "from 0 to 16"],
    ),
    (
        "problems: {SurComb3: {env: {smax: {noise: {damage: -0.1}}}}}",
        ["problems.SurComb3.env.smax.noise.damage = -0.1", "a number of at least 0"],
    ),
    ("train: {mixture_shift: {amount: 1.5}}", ["mixture_shift.amount = 1.5", "from 0 to 1"]),
    (
        "train: {mixture_shift: {amount: 0.5, interval_env_steps: 200000}}",
        [
            "train.mixture_shift.interval_env_steps = 200000",
            "never shifts",
            "[train.env_steps = 200000 in",
        ],
    ),
    (
        "study: {problems: [Mine]}\nproblems: {Mine: {units: [3s2z2c]}}\n"
        "train: {mixture_shift: {amount: 0.5}}",
        [
            "train.mixture_shift.amount = 0.5",
            "problem 'Mine' has one task",
            '[study.problems[0] = "Mine" in',
        ],
    ),
    (
        "study: {problems: [Mine]}\nproblems: {Mine: {units: [3s2z2c]}}\n"
        "variants: {trama: {train: {mixture_shift: {amount: 0.5}}}}",
        ["variants.trama.train.mixture_shift.amount = 0.5", "problem 'Mine' has one task"],
    ),
    ("train: {test_interval: 999999}", ["train.test_interval = 999999", "train.env_steps"]),
    (
        "cluster: {min_trajectories: 9, max_trajectories: 8}",
        ["cluster.min_trajectories = 9", "cluster.max_trajectories = 8"],
    ),
    (
        "cluster: {min_trajectories: 2}",
        ["n_classes = 3", "cluster.min_trajectories = 2"],
    ),
    (
        "env: {smax: {roster: {zealot: {symbol: s}}}}",
        ["env.smax.roster.zealot.symbol", "of 'stalker'", "env.smax.roster.stalker.symbol"],
    ),
    (
        "evaluate: {policies: [best]}",
        ['figures.policy = "last"', 'tables.policy = "last"', 'evaluate.policies = ["best"]'],
    ),
    (
        "evaluate: {fallback: {score: disagreement, quantile: 1}}",
        ["one of none, confidence, energy, distance", "evaluate.fallback.quantile = 1"],
    ),
    ("train: {class_representation: {dropout: 1.0}}", ["dropout = 1.0", "at least 0", "below 1"]),
    ("figures: {formats: [svg]}", ["figures.formats[0]", '"svg"', "pdf or png"]),
    ("3: x", ["line 1: 3: YAML reads this key as a number", "in quotes"]),
    ("problems: {true: {units: [1s]}}", ["line 1: problems.true: YAML", "true or false", "names"]),
    ("variants:\n  ~: {mixer: vdn}", ["line 2: variants.~: YAML reads this key as nothing"]),
    ("gamma: 0.9", ["gamma = 0.9", "key of this name is collect.gamma, train.gamma."]),
    (
        "train: {predictor: {n_codes: 3}}",
        ["train.predictor.n_codes = 3", "of this name is representations.<name>.n_codes."],
    ),
    ("train: {zzz: 3}", ["train.zzz = 3", "There are: n_envs, network,", " and 25 more."]),
    (
        "train: {gamma: 0.9}\nstudy: {seed: 1}\ntrain: {}",
        ["line 3", "train stands twice", "line 1"],
    ),
    ("train:\n  gamma: 0.9\n  gamma: 0.8", ["line 3", "train.gamma stands twice", "line 2"]),
    ("train: {gamma: 0.9", ["line 1", "not valid YAML"]),
    ("train: [1,\n\t2]", ["line 2", "not valid YAML"]),
    ("{[a, b]: c}", ["not valid YAML"]),
    ("train: &a\n  <<: *a", ["an alias (*) stands within what it names"]),
    ("- train", ["must hold keys and values", "train"]),
]


@pytest.mark.parametrize(("text", "expected"), MALFORMED, ids=[text for text, _ in MALFORMED])
def test_malformed_config(text: str, expected: list[str], tmp_path: Path) -> None:
    with pytest.raises(TramaError) as caught:
        _load(text, None, tmp_path)
    message = str(caught.value)
    missing = [part for part in [str(tmp_path / "extra.yaml"), *expected] if part not in message]
    assert not missing, message
    assert len(message.splitlines()) <= 3  # nothing is reported twice
    assert "pydantic" not in message
    assert "Input should" not in message


def test_all_problems_stand_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(TramaError) as caught:
        _load("train: {gamma: 2, gama: 1}\ndevice: tpu", {"study": {"seed": "x"}}, tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == "The configuration has 4 problems:"
    assert [line for line in lines if line.startswith("- --config: study.seed")]


def test_unknown_names_stand_beside_wrong_types(tmp_path: Path) -> None:
    text = "study: {problems: [SurComb5, 3], variants: [qplx]}\ntrain: {gamma: 2}"
    with pytest.raises(TramaError) as caught:
        _load(text, None, tmp_path)
    message = str(caught.value)
    assert message.startswith("The configuration has 4 problems:")
    for part in ('study.problems[0] = "SurComb5"', "study.problems[1] = 3", '"qplx"', "gamma = 2"):
        assert message.count(part) == 1, message
    assert "Did you mean 'qplex'?" in message


def test_an_empty_text_on_the_command_line_is_shown() -> None:
    with pytest.raises(TramaError, match=r'--config: study\.name = "": must be a name'):
        _load(overrides={"study": {"name": ""}})


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        ({"variants": {"trama": "null"}}, "variants.trama"),
        ({"representations": {"vqvae": "~"}}, "representations.vqvae"),
        ({"train": {"clustering": "null"}}, "train.clustering"),
        ({"train": None}, "train"),
    ],
)
def test_null_for_a_mapping_on_the_command_line(overrides: dict[str, Any], path: str) -> None:
    with pytest.raises(TramaError) as caught:
        _load(overrides={**overrides, "device": "tpu"})
    lines = str(caught.value).splitlines()
    assert lines[1].startswith(f"- --config: {path} = null: a section or definition cannot be null")
    assert "device" in lines[2] and len(lines) == 3


def test_a_training_too_short_to_cluster_is_no_matter_without_clusters() -> None:
    overrides = {"train": {"env_steps": "70000"}, "study": {"variants": ["qmix", "trama_oracle"]}}
    config = _load(overrides=overrides)
    assert config.own_env_steps("trama_oracle") < config.train.clustering.first_env_steps


def test_a_task_set_must_suit_the_problems_of_the_study_alone() -> None:
    overrides = {"problems": {"Mine": {"units": ["1s1z"]}}, "evaluate": {"task_sets": ["one_type"]}}
    assert _load(overrides=overrides).evaluate.task_sets == ("one_type",)


@pytest.mark.parametrize(
    ("variants", "given", "reference", "baselines"),
    [
        (["vdn", "qmix", "qplex", "trama_qmix", "trama"], None, "trama_qmix", ["qmix", "qplex"]),
        (["vdn", "trama", "trama_qmix", "qplex"], "vdn", "vdn", ["qplex", None]),
        (["qmix", "qplex"], None, "qmix", []),
        (["trama_oracle"], None, "trama_oracle", [None]),
        (["qplex_collected", "qplex", "trama"], None, "trama", ["qplex_collected"]),
        (["qplex", "qplex_paper", "trama_paper"], None, "trama_paper", ["qplex_paper"]),
        (["qplex_paper", "qplex", "trama_online"], None, "trama_online", ["qplex"]),
        (["qplex_paper", "trama"], None, "trama", ["qplex_paper"]),
    ],
)
def test_reference_and_baselines(
    variants: list[str], given: str | None, reference: str, baselines: list[str | None]
) -> None:
    """Of the variants with classes, in the study's order; those without have no baseline."""
    config = _load(overrides={"study": {"variants": variants, "reference": given}})
    assert config.reference == reference
    found = {name: config.baseline_of(name) for name in variants}
    assert [found.pop(name) for name in variants if name.startswith("trama")] == baselines
    assert set(found.values()) <= {None}


def test_error_names_the_source_that_decided() -> None:
    with pytest.raises(TramaError) as caught:
        _load(overrides={"train": {"buffer_size": "16"}})
    message = str(caught.value)
    assert f"{SHIPPED / 'presets/laptop.yaml'}, line" in message  # n_envs is the preset's
    assert "train.buffer_size = 16 in --config" in message


def test_unreadable_files(tmp_path: Path) -> None:
    gone = tmp_path / "gone.yaml"
    with pytest.raises(
        TramaError, match=r"gone\.yaml: the configuration file cannot be read: No such"
    ):
        load_config(CONFIG, SHIPPED, [gone])
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"device: \xff")
    with pytest.raises(TramaError, match="not UTF-8"):
        load_config(CONFIG, SHIPPED, [latin])


def test_preset_cannot_name_a_preset(tmp_path: Path) -> None:
    (_shipped(tmp_path) / "presets/mine.yaml").write_text("preset: other")
    with pytest.raises(TramaError, match=r"mine.yaml, line 1: a preset must not set preset"):
        load_config(CONFIG, tmp_path, [], {"preset": "mine"})


@pytest.mark.parametrize("study", ["", "\nstudy: {variants: [v]}"])
def test_a_missing_key_belongs_in_config_yaml(study: str, tmp_path: Path) -> None:
    """And not in the preset, although that has a section study, too."""
    base = tmp_path / "config.yaml"
    base.write_text("variants: {v: {mixer: vdn}}" + study)
    (_shipped(tmp_path) / "presets/laptop.yaml").write_text("study: {name: laptop, seeds: [0]}")
    with pytest.raises(TramaError) as caught:
        load_config(base, tmp_path, [], {"study": {"seed": "3"}})
    message = str(caught.value)
    line = ", line 2" if study else ""
    assert f"- {base}{line}: study.problems is missing: a list" in message
    assert f"- {base}: problems is missing: a mapping from names" in message


def test_a_missing_key_belongs_where_its_definition_is(tmp_path: Path) -> None:
    with pytest.raises(TramaError, match=r"extra\.yaml, line 1: variants\.own\.mixer is missing"):
        _load("variants: {own: {representation: vqvae}}", {"variants": {"own": {}}}, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("variants: [trama, tramma]", "there is no variant of this name. Did you mean 'trama'?"),
        ("variants: []", "compares either representations or variants"),
        ("variants: [trama], representations: [vqvae]", "either representations or variants"),
        (
            "representations: [vqvae], measures: [ari, win_rate]",
            'measures[1] = "win_rate": is measured of variants',
        ),
        ("variants: [trama], problems: [SurComb]", "there is no problem of this name"),
        ("variants: [trama], seeds: [0, 0]", "seeds[1] = 0: stands in the list twice"),
        ("variants: [trama], baselines: {trama: trama}", '= "trama": is set beside itself'),
        ("variants: [trama], baselines: {trama: tram}", "there is no variant of this name"),
        (
            "representations: [vqvae], baselines: {trama: vqvae}",
            "there is no representation of this name",
        ),
    ],
)
def test_experiments_are_checked(change: str, message: str, tmp_path: Path) -> None:
    own = {"question": "Why?", "problems": ["SurComb3"], "measures": ["ari"]}
    own |= yaml.safe_load("{" + change + "}")
    with pytest.raises(TramaError) as caught:
        _load(yaml.safe_dump({"experiments": {"own": own}}), None, tmp_path)
    assert "experiments.own." in str(caught.value) and message in str(caught.value)


@pytest.mark.parametrize("preset", ["laptop", "paper", "claims"])
def test_every_experiment_of_the_repository_fits_its_presets(preset: str) -> None:
    config = _load(overrides={"preset": preset})
    assert config.playable_experiments
    for name in config.playable_experiments:
        check_experiment(config, name)


@pytest.mark.parametrize(("budget", "share"), [("half", 2), ("full", 1)])
def test_every_experiment_fits_the_budgets(budget: str, share: int) -> None:
    config = load_config(CONFIG, SHIPPED, [ROOT / f"config/{budget}_budget.yaml"], None)
    laptop = _load(overrides={"preset": "laptop"})
    assert config.study.name == f"{budget}_budget"
    assert config.train.env_steps * share == laptop.train.env_steps
    assert config.collect == laptop.collect
    assert config.playable_experiments == laptop.playable_experiments
    for name in config.playable_experiments:
        check_experiment(config, name)


def test_an_experiment_that_could_be_no_study(tmp_path: Path) -> None:
    own = {"question": "Why?", "problems": ["ThreeUnits"], "variants": ["trama"]}
    change = {"experiments": {"own": {**own, "measures": ["win_rate"]}}}
    config = _load(yaml.safe_dump(change), None, tmp_path)
    with pytest.raises(TramaError) as caught:
        check_experiment(config, "own")
    message = str(caught.value)
    assert message.startswith("Experiment own does not fit the configuration")
    assert "evaluate.task_sets[0] = \"one_changed\": does not suit problem 'ThreeUnits'" in message
    for variant, measure in (
        ("qmix", "predictor_seconds"),
        ("trama_oracle", "cluster_mb"),
        ("trama_mean_state", "vqvae_seconds"),
    ):
        part = {"problems": ["SurComb3"], "variants": [variant], "measures": [measure]}
        broken = {"experiments": {"own": {**own, **part}}}
        with pytest.raises(TramaError, match=f'"{measure}": .*leave it out'):
            check_experiment(_load(yaml.safe_dump(broken), None, tmp_path), "own")
    timed = {"experiments": {"own": {"measures": ["train_minutes"]}}}
    check_experiment(_load(yaml.safe_dump(deep_merge(change, timed)), None, tmp_path), "own")


@pytest.mark.parametrize(
    ("change", "experiment", "place"),
    [
        (
            "train: {class_representation: {kind: one_hot}}",
            "conditioning",
            "variants.trama_size_8.train.class_representation.size = 8",
        ),
        ("train: {batch_size: 600, buffer_size: 5000}", "mixture_shift", "batch_size = 600"),
    ],
)
def test_what_nobody_trains_need_not_suit_section_train(
    change: str, experiment: str, place: str, tmp_path: Path
) -> None:
    """An experiment's variants must, when its target is asked for."""
    config = _load(change, None, tmp_path)
    with pytest.raises(TramaError, match=f"Experiment {experiment} does not fit") as caught:
        check_experiment(config, experiment)
    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("own", "task_sets", "message"),
    [
        ("variants: [qmix], measures: [win_rate, swap_actions]", "[one_type]", "has trajectory"),
        ("variants: [trama_oracle], measures: [label_consistency]", "[one_type]", "clusters"),
        ("variants: [trama_mean_state], measures: [codes_in_use]", "[one_type]", "codebook"),
        ("representations: [mean_state], measures: [ari, codes_in_use]", "[]", "codebook"),
        ("variants: [trama], measures: [ood_win_rate]", "[]", "evaluate.task_sets names no"),
        ("variants: [trama], measures: [energy_auroc]", "[]", "evaluate.task_sets names no"),
        ("variants: [trama], measures: [fallback_win_rate]", "[one_type]", "falls back"),
        ("variants: [qplex], measures: [wrong_class_win_rate]", "[one_type]", "has trajectory"),
    ],
)
def test_a_measure_that_nothing_has(own: str, task_sets: str, message: str, tmp_path: Path) -> None:
    text = f"experiments: {{own: {{question: Why, problems: [SurComb3], {own}}}}}\n"
    config = _load(f"{text}evaluate: {{task_sets: {task_sets}}}", None, tmp_path)
    with pytest.raises(TramaError, match=r"experiments\.own\.measures\[[01]\] = ") as caught:
        check_experiment(config, "own")
    assert message in str(caught.value) and str(caught.value).count("\n") == 1


def test_another_coverage_needs_no_other_change() -> None:
    for coverage in ("none", "time"):
        config = _load(overrides={"representations": {"vqvae": {"coverage": coverage}}})
        assert config.representations["vqvae"].coverage == coverage


def test_a_variant_becomes_a_baseline_or_an_oracle(tmp_path: Path) -> None:
    variants = _load(
        "variants: {trama: {representation: null}, qmix: {labels: true_task}}", None, tmp_path
    ).variants
    assert not variants["trama"].has_classes
    assert variants["qmix"].has_classes


def test_classes_are_checked_against_the_room_for_them_once() -> None:
    change = {"representations": {"vqvae": {"n_classes": "300"}}}
    with pytest.raises(TramaError) as caught:
        _load(overrides={"preset": "tiny", **change})  # too many for the trajectories as well
    assert len(str(caught.value).splitlines()) == 2


def test_a_small_buffer_is_no_matter_without_clusters() -> None:
    overrides = {"train": {"buffer_size": "400"}, "study": {"variants": ["qmix", "trama_oracle"]}}
    assert _load(overrides=overrides).train.buffer_size == 400


def test_loading_is_light() -> None:
    """Parsing the Snakefile must not wait for heavy libraries."""
    code = (
        "import sys; from pathlib import Path; from trama.config.load import load_config; "
        "from trama.config import params; "
        f"load_config(Path({str(CONFIG)!r}), Path({str(SHIPPED)!r})); "
        "print([m for m in ('torch', 'jax', 'numpy', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    env = {"PYTHONPATH": str(ROOT / "workflow")}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    assert run.stdout.strip() == "[]"
