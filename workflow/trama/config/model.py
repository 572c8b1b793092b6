"""The configuration's model: every key, its type, range, default and description.

A key is described where it is defined: here, in `problems` or in `backends`; `config/README.md`
and the JSON Schema are generated from that. Defaults are the published values (paper: arXiv
2503.01440, and its released code) wherever there are any.
"""

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from trama.config.backends import Env
from trama.config.experiments import Experiment
from trama.config.problems import Problem, TaskSet
from trama.config.relations import KEYS_OF_CLASSES, broken_relations
from trama.config.sections import EnvSteps, Name, Section, Seed, listed
from trama.config.trees import deep_merge
from trama.config.validation import Broken, at_most, duplicates, report

MixerName = Literal["vdn", "qmix", "qplex"]
"""Mixers that `networks.mixers.make_mixer` builds."""


class Study(Section):
    """What is run: problems x variants x seeds."""

    name: Name = Field(
        default="study", description="Folder of the study's results: results/<name>."
    )
    seed: Seed = Field(
        default=0,
        description="Master seed; every generator's seed is derived from it and from `seeds`.",
    )
    problems: tuple[Name, ...] = listed(..., "Problems to train on, by their name in `problems`.")
    variants: tuple[Name, ...] = listed(..., "Variants to train, by their name in `variants`.")
    seeds: tuple[Seed, ...] = listed(
        (0,), "Seeds; each has its own data, representation and training."
    )
    reference: Name | None = Field(
        default=None,
        description="Variant of the study that comparisons set the others beside; null: the "
        "study's first variant with a representation, else with trajectory classes, else its "
        "first.",
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        problems = [
            *duplicates(("problems",), self.problems),
            *duplicates(("variants",), self.variants),
            *duplicates(("seeds",), self.seeds),
        ]
        if self.reference is not None and self.reference not in self.variants:
            message = "is not among study.variants: name one of them, or null"
            problems.append(Broken(("reference",), message, self.reference, self.variants))
        report("study", problems)
        return self


Criterion = Literal["silhouette", "gap", "bic", "slope", "stability", "value", "foretold"]
MOST_CLASSES = 8
"""Largest number of classes that criteria compare, unless a representation says another."""


class ClassNumber(Section):
    """How the number of classes is chosen from the data, at each clustering anew."""

    criterion: Criterion = Field(
        ...,
        description="Choose K from the data in place of n_classes: by silhouette (published), gap "
        "statistic, BIC of a Gaussian mixture, slope of its likelihood, stability of halves of the "
        "data, value (whether more classes predict returns better) or foretold (whether the first "
        "state tells the class).",
    )
    most: int = Field(
        default=MOST_CLASSES,
        ge=2,
        description="Largest K that may be chosen. Networks have room for so many classes, and "
        "pretraining has so many.",
    )


class Representation(Section):
    """How a trajectory is embedded and into how many classes the embeddings are clustered."""

    embedding: Literal["quantised", "mean_state"] = Field(
        default="quantised",
        description="Embedding of a trajectory: mean of its quantised VQ-VAE vectors, or plain "
        "mean of its states, which needs no pretraining.",
    )
    states: Literal["raw", "standardised", "summed", "weighted"] = Field(
        default="standardised",
        description="States that are embedded: as the environment gives them (published), each "
        "feature standardised, or summed over like units and then standardised, so that the order "
        "of units has no part in it; weighted: summed, and each feature weighted by its "
        "correlation ratio, so that what changes during every trajectory counts for less.",
    )
    coverage: Literal["none", "time", "time_class"] = Field(
        default="time_class",
        description="Coverage loss of the codebook: none, J(t) over time, or J(t,k) over time and "
        "class (published: time_class). Only for quantised.",
    )
    n_codes: int = Field(
        default=256,
        ge=1,
        le=65536,
        description="Codes in the codebook (published: 256). Only for quantised.",
    )
    code_dim: int = Field(
        default=4, ge=1, description="Dimension of a code (published: 4). Only for quantised."
    )
    n_classes: int = Field(
        default=4,
        ge=2,
        description="Clusters K of K-means (published: 4). class_number takes its place.",
    )
    class_number: ClassNumber | None = Field(
        default=None,
        description="Choose K from the data, never from true tasks, in place of n_classes.",
    )
    relabel_rounds: int = Field(
        default=2,
        ge=0,
        description="Times that pretraining labels its trajectories anew by K-means for J(t,k), "
        "after a first part with random classes. Only for coverage time_class.",
    )

    @property
    def has_codebook(self) -> bool:
        """Whether there is a VQ-VAE, which stage pretrain makes."""
        return self.embedding == "quantised"

    @property
    def most_classes(self) -> int:
        """K, or the largest one that may be chosen: what networks have room for."""
        return self.n_classes if self.class_number is None else self.class_number.most

    @property
    def unused_keys(self) -> tuple[str, ...]:
        """Keys that have no effect beside the others."""
        number = "class_number" if self.class_number is None else "n_classes"
        return (*self._unused_quantiser_keys, number)

    @property
    def _unused_quantiser_keys(self) -> tuple[str, ...]:
        """Keys that have no effect with this embedding and coverage."""
        if not self.has_codebook:
            return ("coverage", "n_codes", "code_dim", "relabel_rounds")
        return () if self.coverage == "time_class" else ("relabel_rounds",)

    @model_validator(mode="after")
    def _rules(self) -> Self:
        problems = []
        if not self.has_codebook:
            problems += [
                Broken(
                    (key,),
                    f"{key} is a key of the VQ-VAE and has no effect with embedding "
                    f"{self.embedding}: remove it",
                    getattr(self, key),
                    others=(("embedding",),),
                )
                for key in self._unused_quantiser_keys
                if key in self.model_fields_set
            ]
        elif "relabel_rounds" in self.model_fields_set.intersection(self._unused_quantiser_keys):
            problems.append(
                Broken(
                    ("relabel_rounds",),
                    f"relabel_rounds has no effect with coverage {self.coverage}, only with "
                    "time_class: remove it",
                    self.relabel_rounds,
                    others=(("coverage",),),
                )
            )
        report("representation", problems)
        return self


class Variant(Section):
    """A named set of changes to the base algorithm."""

    mixer: MixerName = Field(..., description="Value factorisation.")
    representation: Name | None = Field(
        default=None,
        description="Representation, by its name in `representations`, whose clusters are the "
        "trajectory classes; a variant without one, and without labels true_task, is a baseline.",
    )
    labels: Literal["clusters", "true_task"] = Field(
        default="clusters",
        description="Labels that the predictor learns: clusters of the representation, or the true "
        "task as an oracle, which has no representation.",
    )
    train: dict[str, Any] = Field(
        default={},
        description="Overrides of keys of section `train`, in its own shape, for this variant.",
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        problems = []
        if self.representation is not None and self.labels == "true_task":
            problems.append(
                Broken(
                    ("representation",),
                    "an oracle (labels true_task) reads no representation: set it to null, or "
                    "remove labels",
                    self.representation,
                    others=(("labels",),),
                )
            )
        elif not self.has_classes and "labels" in self.model_fields_set:
            problems.append(
                Broken(
                    ("labels",),
                    "labels clusters has no effect without a representation: remove it, or set "
                    "representation",
                    self.labels,
                )
            )
        report("variant", problems)
        return self

    @property
    def has_classes(self) -> bool:
        """Whether it learns trajectory classes: of a representation, or the true task."""
        return self.representation is not None or self.labels == "true_task"


class QMix(Section):
    """Sizes of QMIX's mixer."""

    mixing_size: int = Field(
        default=32, ge=1, description="Hidden units of the mixer (published: 32)."
    )
    hypernet_size: int = Field(
        default=64,
        ge=1,
        description="Hidden units of the hypernetworks on the state (published: 64).",
    )


class QPlex(Section):
    """Sizes of QPLEX's mixer."""

    heads: int = Field(default=4, ge=1, description="Attention heads (published: 4).")
    mixing_size: int = Field(
        default=32, ge=1, description="Size of keys and queries (published: 32)."
    )
    hypernet_size: int = Field(
        default=64, ge=1, description="Hidden units of the networks on the state (published: 64)."
    )
    attention_regulariser: float = Field(
        default=1e-3,
        ge=0,
        description="Weight of the squared attention logits in the loss (published: 1e-3).",
    )
    kernels: int = Field(
        default=4, ge=1, description="Kernels of the advantage weights (published: 4)."
    )

    @property
    def sizes(self) -> dict[str, int]:
        """What gives its networks their shape, by key."""
        return self.model_dump(exclude={"attention_regulariser"})


class RL(Section):
    """The Q-learning loop; the keys that `collect` and `train` share."""

    n_envs: int = Field(default=32, ge=1, description="Environments that are stepped together.")
    network: Literal["flat", "entities"] = Field(
        default="flat",
        description="What agents and predictors make of an observation: one vector (published), or "
        "entities of which all that are alike, such as enemies, share their weights, in whatever "
        "order they come.",
    )
    batch_size: int = Field(
        default=32, ge=1, description="Episodes in a batch of the learner (published: 32)."
    )
    buffer_size: int = Field(
        default=5000, ge=1, description="Episodes that the replay buffer holds (published: 5000)."
    )
    episodes_per_update: int = Field(
        default=1, ge=1, description="Episodes that are played per learner update (published: 1)."
    )
    optimiser: Literal["rmsprop", "adam"] = Field(
        default="rmsprop", description="Optimiser of the agents and the mixer (published: rmsprop)."
    )
    learning_rate: float = Field(
        default=5e-4, gt=0, description="Its learning rate (published: 5e-4)."
    )
    rmsprop_alpha: float = Field(
        default=0.99,
        ge=0,
        lt=1,
        description="Decay of RMSprop's mean of squared gradients (published: 0.99). Only for "
        "rmsprop.",
    )
    rmsprop_eps: float = Field(
        default=1e-5,
        gt=0,
        description="Added to RMSprop's denominator (published: 1e-5). Only for rmsprop.",
    )
    gamma: float = Field(
        default=0.99, ge=0, le=1, description="Discount per env step (published: 0.99)."
    )
    td_lambda: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Lambda of the TD(lambda) targets; 0 is one-step targets.",
    )
    grad_clip: float = Field(
        default=10.0, gt=0, description="Largest norm of the gradient (published: 10)."
    )
    target_update_episodes: int = Field(
        default=200,
        ge=1,
        description="Episodes between two copies to the target network (published: 200).",
    )
    epsilon_start: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Chance of a random action at the start (published: 1).",
    )
    epsilon_finish: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Chance of a random action after annealing (published: 0.05).",
    )
    epsilon_anneal_steps: EnvSteps = Field(
        default=50_000,
        ge=1,
        description="Env steps of the linear annealing (published: 50000), those of stage collect "
        "included where a training goes on from there.",
    )
    hidden_size: int = Field(
        default=64, ge=1, description="Hidden units of the agents' network (published: 64)."
    )
    qmix: QMix = Field(default=QMix(), description="Mixer QMIX.")
    qplex: QPlex = Field(default=QPlex(), description="Mixer QPLEX.")

    def _broken(self) -> list[Broken]:
        return [
            *at_most(self, "batch_size", "buffer_size"),
            *at_most(self, "n_envs", "buffer_size"),
            *at_most(self, "epsilon_finish", "epsilon_start"),
        ]

    @model_validator(mode="after")
    def _rules(self) -> Self:
        report("rl", self._broken())
        return self


class Collect(RL):
    """Stage collect: random episodes, then a short baseline run whose episodes are all kept."""

    mixer: MixerName = Field(default="qplex", description="Value factorisation of the baseline.")
    random_episodes: int = Field(
        default=100, ge=1, description="Random episodes that give the first state statistics."
    )
    env_steps: EnvSteps = Field(
        default=100_000,
        ge=1,
        description="Env steps of the baseline (published start of classes: 100000).",
    )
    std_floor: float = Field(
        default=0.01,
        gt=0,
        description="Smallest standard deviation that a state feature is divided by, so that one "
        "that hardly moves is not blown up.",
    )


class Pretrain(Section):
    """Stage pretrain: the VQ-VAE on a representation's states (paper: quantised latent space)."""

    updates: int = Field(
        default=3000, ge=1, description="Updates, spread over all relabelling rounds."
    )
    batch_size: int = Field(default=32, ge=1, description="Episodes in a batch.")
    learning_rate: float = Field(
        default=5e-4, gt=0, description="Adam's learning rate (published: 5e-4)."
    )
    hidden_size: int = Field(
        default=64, ge=1, description="Hidden units of encoder and decoder (published: 64)."
    )
    vq_weight: float = Field(
        default=0.25,
        ge=0,
        description="Weight of the term that moves codes to encodings (published: 0.25).",
    )
    commitment_weight: float = Field(
        default=0.125,
        ge=0,
        description="Weight of the term that moves encodings to their code (published: 0.125).",
    )
    coverage_weight: float = Field(
        default=0.125,
        ge=0,
        description="Weight of the coverage loss J(t) or J(t,k) (published: 0.125).",
    )


class Classifier(Section):
    """The classifier that labels trajectories after a clustering."""

    hidden_sizes: tuple[Annotated[int, Field(ge=1)], ...] = listed(
        (64, 32), "Hidden units of its layers (published: 64, 32)."
    )
    learning_rate: float = Field(
        default=1e-3, gt=0, description="Adam's learning rate (published: 1e-3)."
    )
    epochs: int = Field(
        default=20, ge=1, description="Passes over the embeddings after each clustering."
    )
    batch_size: int = Field(default=32, ge=1, description="Embeddings in a batch.")


class Cluster(Section):
    """K-means on trajectory embeddings; stage cluster, and the re-clusterings of stage train."""

    max_trajectories: int = Field(
        default=5000, ge=2, description="Most trajectories in a clustering (published: 5000)."
    )
    min_trajectories: int = Field(
        default=1000, ge=2, description="Fewest trajectories for a re-clustering (published: 1000)."
    )
    min_clusters: int = Field(
        default=3,
        ge=1,
        description="Fewest clusters in use, K where that is less, for a re-clustering to be "
        "accepted (published: 3).",
    )
    n_init: int = Field(
        default=10, ge=1, description="k-means++ starts of a fit that has no previous centroids."
    )
    classifier: Classifier = Field(
        default=Classifier(), description="The classifier of trajectories."
    )
    criteria: tuple[Criterion, ...] = listed(
        (),
        "Criteria of class_number that stage cluster compares on every representation, for the "
        "file class_numbers; a change re-runs it, and what follows. All of them take 5 to 15 s.",
        min_length=0,
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        report(
            "cluster",
            [
                *at_most(self, "min_trajectories", "max_trajectories"),
                *duplicates(("criteria",), self.criteria),
            ],
        )
        return self


class Predict(Section):
    """Stage predict: the class predictor alone, without any policy, on the collected trajectories.

    It is that of section train, and learns the true tasks, and then the clusters.
    """

    updates: int = Field(default=1000, ge=1, description="Updates, for each kind of labels.")
    batch_size: int = Field(default=32, ge=1, description="Trajectories in a batch.")
    learning_rate: float = Field(default=1e-3, gt=0, description="Adam's learning rate.")
    held_out: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="Share of the clustered trajectories that it does not learn from, and whose "
        "labels it is asked for.",
    )


class Predictor(Section):
    """The trajectory-class predictor that all agents share."""

    hidden_size: int = Field(default=64, ge=1, description="Hidden units (published: 64).")
    loss_weight: float = Field(
        default=0.1, ge=0, description="Weight of its cross-entropy in the loss (published: 0.1)."
    )


class ClassRepresentation(Section):
    """The class as the policy sees it."""

    kind: Literal["learned", "one_hot"] = Field(
        default="learned",
        description="A network on the one-hot class, trained by the TD loss, or the one-hot class.",
    )
    hidden_size: int = Field(
        default=32,
        ge=1,
        description="Hidden units of the network (published: 32). Only for learned.",
    )
    size: int = Field(
        default=32, ge=1, description="Length of the vector (published: 32). Only for learned."
    )
    conditioning: Literal["input", "film", "hypernetwork"] = Field(
        default="input",
        description="Where it enters the agent: beside the inputs of the first layer (published), "
        "also as a factor of each feature of that layer, or as weights of the last layer.",
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Chance that an episode of training is played and learnt without a class "
        "(published: 0). The policy is then told nothing, which is a vector of zeros, and can be "
        "played so.",
    )


class VQVAEUpdates(Section):
    """Online updates of the VQ-VAE during training."""

    learning_rate: float = Field(
        default=5e-4, gt=0, description="Adam's learning rate (published: 5e-4)."
    )
    interval_episodes: int = Field(
        default=10,
        ge=1,
        description="Episodes between two updates after the dense phase (published: 10).",
    )
    dense_env_steps: EnvSteps = Field(
        default=50_000,
        ge=0,
        description="Env steps up to which every learner update has one (published: 50000); those "
        "of stage collect count where a training goes on from there, and its episodes bring none.",
    )


class Clustering(Section):
    """Re-clustering during training."""

    first_env_steps: EnvSteps = Field(
        default=100_000,
        ge=0,
        description="Env steps of the training itself before the first clustering (published: "
        "100000).",
    )
    interval_episodes: int = Field(
        default=500, ge=1, description="Episodes after which to cluster again (published: 500)."
    )
    interval_env_steps: EnvSteps = Field(
        default=50_000,
        ge=1,
        description="Env steps after which to cluster again, if sooner (published: 50000).",
    )
    initialisation: Literal["centroids", "random", "matched"] = Field(
        default="centroids",
        description="Start from the previous centroids, which keeps labels' meaning (published), "
        "afresh, or afresh and with each new class named after an old one, so that as many "
        "trajectories as possible keep their label (Hungarian matching).",
    )


class MixtureShift(Section):
    """A mixture of tasks that shifts during training: a stress test of labels over time."""

    amount: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Total variation distance of the two mixtures that training plays in turn: 0 "
        "is one uniform mixture, 1 is two halves that share no task. Tests and evaluation stay "
        "uniform.",
    )
    interval_env_steps: EnvSteps = Field(
        default=30_000, ge=1, description="Env steps after which the other mixture is played."
    )


class Train(RL):
    """Stage train."""

    env_steps: EnvSteps = Field(
        default=2_000_000,
        ge=1,
        description="Env steps of a training (published: 2 to 5 million), those of stage collect "
        "included where it learns from the collected trajectories.",
    )
    test_interval: EnvSteps = Field(
        default=10_000, ge=1, description="Env steps between two tests (published: 10000)."
    )
    test_episodes: int = Field(
        default=32, ge=1, description="Greedy episodes of a test (published: 32)."
    )
    checkpoint_minutes: float = Field(
        default=5.0,
        gt=0,
        description="Minutes between two checkpoints, from which a training that was killed goes "
        "on; a change re-runs nothing.",
    )
    keep_checkpoint: bool = Field(
        default=False,
        description="Keep the last checkpoint of a finished training: a larger env_steps then goes "
        "on from there. A change re-runs nothing.",
    )
    warm_start: bool = Field(
        default=True,
        description="Start from the representation of stages pretrain and cluster. Without it "
        "(published) the VQ-VAE begins untrained, and there are no classes before "
        "clustering.first_env_steps.",
    )
    start: Literal["auto", "scratch", "collect", "replay"] = Field(
        default="auto",
        description="What a training starts from: scratch (published), or where stage collect "
        "ended: its newest episodes fill the replay buffer, and its env steps count, for "
        "exploration too. collect: agents, mixer and optimiser go on as they were. replay, also "
        "collect if stage collect has other networks: they begin anew, and the learner makes the "
        "updates that fall due for each collected episode before it plays. auto: collect where "
        "there are classes from the start (a warm start, or true tasks), else scratch.",
    )
    weight_average_decay: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Decay, per learner update, of a moving average of the policy's weights, which "
        "is then what is tested and kept; 0 (published): the weights themselves.",
    )
    mixer_states: Literal["raw", "standardised"] = Field(
        default="standardised",
        description="States that the mixer reads: as the environment gives them (published), or "
        "each feature standardised.",
    )
    predictor: Predictor = Field(default=Predictor(), description="Trajectory-class predictor.")
    class_representation: ClassRepresentation = Field(
        default=ClassRepresentation(), description="The class as the policy sees it."
    )
    vqvae_updates: VQVAEUpdates = Field(
        default=VQVAEUpdates(), description="Online updates of the VQ-VAE."
    )
    clustering: Clustering = Field(default=Clustering(), description="Re-clustering.")
    mixture_shift: MixtureShift = Field(
        default=MixtureShift(), description="Shift of the mixture of tasks."
    )

    def _broken(self) -> list[Broken]:
        return [*super()._broken(), *at_most(self, "test_interval", "env_steps")]


Policy = Literal["last", "best"]
GivenClass = Literal["true_class", "random_class", "wrong_class", "no_class"]


class Fallback(Section):
    """Playing all tasks again with agents that use no class while their episode looks novel."""

    score: Literal["none", "confidence", "energy", "distance"] = Field(
        default="distance",
        description="Score of novelty, of which an agent takes the mean over its steps so far: 1 - "
        "the largest calibrated class probability, -logsumexp of the logits, or the Mahalanobis "
        "distance of the predictor's hidden state to the nearest class mean; none plays nothing "
        "again. For policies that were trained with dropout of the class.",
    )
    quantile: float = Field(
        default=0.95,
        gt=0,
        lt=1,
        description="An agent uses no class while its score is above this quantile of the scores "
        "that agents have at the same step on the problem's own tasks, in other episodes.",
    )

    @property
    def used(self) -> bool:
        """Whether there is any."""
        return self.score != "none"


class Evaluate(Section):
    """Stage evaluate: greedy episodes of trained policies."""

    episodes: int = Field(default=100, ge=1, description="Episodes per task.")
    policies: tuple[Policy, ...] = listed(
        ("last", "best"), "Policies to evaluate: the last one, the one that tested best."
    )
    task_sets: tuple[Name, ...] = listed(
        (),
        "Sets of tasks to evaluate on beside the problem's own, by their name in `task_sets`. Of a "
        "task in two sets, the first one counts.",
        min_length=0,
    )
    given_classes: tuple[GivenClass, ...] = listed(
        ("true_class", "random_class", "wrong_class"),
        "What one class all agents are given instead of those that they predict, in further "
        "episodes on the problem's own tasks: the one that stands for the task, any, one "
        "that stands for other tasks, or none. For policies with classes; none for those that were "
        "trained with dropout of the class.",
        min_length=0,
    )
    fallback: Fallback = Field(
        default=Fallback(),
        description="Playing all tasks again with agents that use no class while their episode "
        "looks novel.",
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        report(
            "evaluate",
            [
                *duplicates(("policies",), self.policies),
                *duplicates(("task_sets",), self.task_sets),
                *duplicates(("given_classes",), self.given_classes),
            ],
        )
        return self


class Figures(Section):
    """Stage figures."""

    formats: tuple[Literal["pdf", "png"], ...] = listed(("pdf", "png"), "File formats.")
    dpi: int = Field(
        default=200, ge=50, le=1200, description="Resolution of PNG files, dots per inch."
    )
    smoothing: int = Field(
        default=1,
        ge=1,
        description="Test points in the running mean of learning curves; 1 is none.",
    )
    policy: Policy = Field(default="last", description="Policy whose evaluation is shown.")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        report("figures", duplicates(("formats",), self.formats))
        return self


class Tables(Section):
    """Stage tables."""

    decimals: int = Field(default=2, ge=0, le=6, description="Decimals of the numbers.")
    policy: Policy = Field(default="last", description="Policy whose evaluation is shown.")


class RuleResources(Section):
    """What one job of a rule may use."""

    threads: int = Field(
        default=1,
        ge=1,
        description="Threads; another number may change results by rounding.",
    )
    mem_mb: int = Field(default=4000, ge=100, description="Memory, MB.")
    runtime: int = Field(default=60, ge=1, description="Longest run time, minutes.")
    gpu: int = Field(default=0, ge=0, le=8, description="GPUs.")


class Resources(Section):
    """Resources of each stage's jobs; a change re-runs nothing."""

    collect: RuleResources = Field(default=RuleResources(), description="Jobs of stage collect.")
    pretrain: RuleResources = Field(default=RuleResources(), description="Jobs of stage pretrain.")
    cluster: RuleResources = Field(default=RuleResources(), description="Jobs of stage cluster.")
    predict: RuleResources = Field(default=RuleResources(), description="Jobs of stage predict.")
    train: RuleResources = Field(default=RuleResources(), description="Jobs of stage train.")
    evaluate: RuleResources = Field(default=RuleResources(), description="Jobs of stage evaluate.")
    figures: RuleResources = Field(default=RuleResources(), description="Jobs of stage figures.")
    tables: RuleResources = Field(default=RuleResources(), description="Jobs of stage tables.")


class Config(Section):
    """The whole configuration."""

    preset: Name = Field(
        default="laptop",
        description="Scale of the run: a file of config/presets, without its suffix.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="PyTorch device; auto takes a GPU where there is one."
    )
    replay_on_device: bool = Field(
        default=False,
        description="Keep a copy of the replay buffer in the GPU's memory, of which batches are "
        "drawn faster; without a GPU it has no effect. 5000 episodes of 5 agents take 0.8 GB.",
    )
    study: Study = Field(..., description="What is run.")
    problems: dict[Name, Problem] = Field(..., description="Definitions of problems, by name.")
    task_sets: dict[Name, TaskSet] = Field(
        default={}, description="Definitions of sets of tasks for evaluation, by name."
    )
    representations: dict[Name, Representation] = Field(
        default={}, description="Definitions of representations, by name."
    )
    variants: dict[Name, Variant] = Field(..., description="Definitions of variants, by name.")
    experiments: dict[Name, Experiment] = Field(
        default={}, description="Definitions of experiments, by name; each is a target of its own."
    )
    env: Env = Field(default=Env(), description="The environment.")
    collect: Collect = Field(default=Collect(), description="Stage collect.")
    pretrain: Pretrain = Field(default=Pretrain(), description="Stage pretrain.")
    cluster: Cluster = Field(default=Cluster(), description="Stage cluster.")
    predict: Predict = Field(default=Predict(), description="Stage predict.")
    train: Train = Field(default=Train(), description="Stage train.")
    evaluate: Evaluate = Field(default=Evaluate(), description="Stage evaluate.")
    figures: Figures = Field(default=Figures(), description="Stage figures.")
    tables: Tables = Field(default=Tables(), description="Stage tables.")
    resources: Resources = Field(
        default=Resources(), description="Threads, memory, time, GPUs per stage."
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        report("config", *broken_relations(self))
        return self

    @property
    def used_representations(self) -> list[str]:
        """Representations of the study's variants, each once, in the variants' order."""
        used = [self.variants[name].representation for name in self.study.variants]
        return [name for name in dict.fromkeys(used) if name is not None]

    @property
    def reference(self) -> str:
        """The variant that comparisons set the others beside."""
        variants = self.study.variants
        chosen = [name for name in variants if self.variants[name].representation]
        with_classes = [name for name in variants if self.variants[name].has_classes]
        return self.study.reference or (chosen or with_classes or variants)[0]

    def own_env_steps(self, variant: str) -> int:
        """Env steps that a variant's training plays itself.

        Those of stage collect are part of `train.env_steps` where it learns from its trajectories,
        so that all variants are compared after as many.
        """
        collected = self.collect.env_steps if self.learns_from_collected(variant) else 0
        return self.train_for(variant).env_steps - collected

    def learns_from_collected(self, variant: str) -> bool:
        """Whether a training goes on from stage collect, or begins with classes from there."""
        return self.start_of(variant) != "scratch" or self.starts_warm(variant)

    def start_of(self, variant: str) -> Literal["scratch", "collect", "replay"]:
        """What a training starts from: `train.start`, as it turns out for the variant."""
        chosen = self.train_for(variant).start
        if chosen == "auto":
            with_classes = self.variants[variant].labels == "true_task" or self.starts_warm(variant)
            chosen = "collect" if with_classes else "scratch"
        if chosen == "collect" and not self._networks_of_collect(variant):
            return "replay"
        return chosen

    def _networks_of_collect(self, variant: str) -> bool:
        """Whether agents and mixer of a training have the shapes, and inputs, of collect's."""
        collect, train = self.collect, self.train_for(variant)
        mixer = self.variants[variant].mixer
        return (
            (collect.mixer, collect.network, collect.hidden_size)
            == (mixer, train.network, train.hidden_size)
            and (mixer == "vdn" or train.mixer_states == "standardised")
            and (mixer != "qmix" or collect.qmix == train.qmix)
            and (mixer != "qplex" or collect.qplex.sizes == train.qplex.sizes)
        )

    def starts_warm(self, variant: str) -> bool:
        """Whether a training begins with the classes of stage cluster."""
        clusters = self.variants[variant].representation is not None
        return clusters and self.train_for(variant).warm_start

    @property
    def playable_experiments(self) -> list[str]:
        """Experiments on problems that the backend plays, with what they override of it alone."""
        playable = {
            name
            for name, problem in self.problems.items()
            if isinstance(problem, self.env.settings.plays)
            and not set(problem.env) - {self.env.backend}
            and self.env_for(problem).settings.refuses(problem) is None
        }
        return [name for name, e in self.experiments.items() if playable.issuperset(e.problems)]

    def with_study_of(self, experiment: str) -> "Config":
        """The configuration whose study is what an experiment compares."""
        compared = self.experiments[experiment]
        changes = {
            "problems": compared.problems,
            "variants": compared.variants,
            "seeds": compared.seeds,
            "reference": None,
        }
        return self.model_copy(update={"study": self.study.model_copy(update=changes)})

    def baseline_of(self, variant: str) -> str | None:
        """The study's variant without classes that a variant with classes has a gain over.

        It has the same mixer, and if possible learns with the same settings, wherever it starts
        from; the first of several. None if there is none, or if `variant` has no classes itself.
        """
        own = self.variants[variant]
        if not own.has_classes:
            return None
        others = {name: self.variants[name] for name in self.study.variants}
        found = [n for n, v in others.items() if v.mixer == own.mixer and not v.has_classes]
        alike = (name for name in found if self.learn_alike(name, variant, KEYS_OF_CLASSES))
        return next(alike, found[0] if found else None)

    def learn_alike(self, one: str, other: str, but_for: Collection[str]) -> bool:
        """Whether two variants have one mixer, and section train but for start and `but_for`."""
        own, others = (
            self.train_for(each).model_dump(exclude={"start", *but_for}) for each in (one, other)
        )
        return self.variants[one].mixer == self.variants[other].mixer and own == others

    def env_for(self, problem: Problem | str) -> Env:
        """Section env with the overrides of `problem` (a definition or its name) merged in.

        Raises `ValidationError` for overrides that are not keys or values of section env.
        """
        if isinstance(problem, str):
            problem = self.problems[problem]
        if not problem.env:
            return self.env
        return type(self.env).model_validate(deep_merge(self.env.model_dump(), problem.env))

    def drops_class(self, variant: str) -> bool:
        """Whether a variant has classes, and also learns to play without."""
        dropout = self.train_for(variant).class_representation.dropout
        return self.variants[variant].has_classes and dropout > 0

    def falls_back(self, variant: str) -> bool:
        """Whether a variant is also evaluated with agents that may use no class."""
        return self.evaluate.fallback.used and self.drops_class(variant)

    def train_for(self, variant: Variant | str) -> Train:
        """Section train with the overrides of `variant` (a definition or its name) merged in.

        Raises `ValidationError` for overrides that are not keys or values of section train.
        """
        if isinstance(variant, str):
            variant = self.variants[variant]
        if not variant.train:
            return self.train
        return Train.model_validate(deep_merge(self.train.model_dump(), variant.train))
