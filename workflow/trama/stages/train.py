"""Stage train: a variant (TRAMA or a baseline) on a problem, tested while it learns."""

import copy
import logging
import time
from pathlib import Path

import numpy as np
import torch

from trama.config.model import Pretrain
from trama.config.params import RunSettings, TrainParams
from trama.data.parquet import Provenance, TableWriter
from trama.environments import VectorEnv, make_env
from trama.errors import TramaError
from trama.learning.build import (
    build_learner,
    load_learner,
    load_weights,
    make_embedding,
    read_centroids,
    read_statistics,
)
from trama.learning.checkpoint import Checkpoint, State, as_state, from_state
from trama.learning.clustering import majority_rate
from trama.learning.collected import count_collected, insert_collected
from trama.learning.diagnosis import class_swap, predictor_accuracy, training_warnings
from trama.learning.history import History
from trama.learning.labels import Clustering, ClusterLabels, Labels, TrueTaskLabels
from trama.learning.mixture import shift_mixture
from trama.learning.model import TrainedModel
from trama.learning.novelty import Novelty, fit_novelty
from trama.learning.policy import Policy
from trama.learning.replay import NO_LABEL, ReplayBuffer
from trama.learning.representation import TrainedRepresentation
from trama.learning.rollout import Episodes, play_episodes
from trama.learning.trainer import Trainer
from trama.networks.classifier import Classifier
from trama.progress import Progress
from trama.runtime import StopRequest, torch_device
from trama.seeds import derive_seed
from trama.stages.codebook import write_codebook
from trama.stages.timing import write_timing

logger = logging.getLogger("trama")

_MEASURED = ("next_test", "tested_at", "win_rate", "best", "best_class_of_task")


def train(
    params: TrainParams,
    provenance: Provenance,
    *,
    state_statistics: Path,
    trajectories: Path | None,
    collected_learner: Path | None,
    vqvae: Path | None,
    centroids: Path | None,
    classifier: Path | None,
    policy_last: Path,
    policy_best: Path,
    history: Path,
    embeddings: Path | None,
    codebook: Path | None,
    timing: Path,
    checkpoint: Path,
    run_settings: RunSettings,
    threads: int,
) -> None:
    """Train to `train.env_steps` and write the last policy, the best tested one, and the history.

    The seeds of environments and tests depend on the run's seed alone, not on the variant. Env
    steps in the history start at those of collect where the variant learns from the collected
    trajectories (its classes, or by going on from there); others take only the scale of each state
    feature from them.

    A training that was killed goes on from its last checkpoint and, on the CPU, ends in the same
    bytes. It writes one every few minutes, and on SIGTERM, after which it stops.

    Args:
        trajectories: from which the training goes on; None where it starts from scratch.
        collected_learner: from which it goes on, too; None where agents and mixer begin anew.
        vqvae, centroids, classifier: None without a representation, or without a warm start;
            `vqvae` also for `mean_state`.
        embeddings, codebook: None for a variant without a representation.
        checkpoint: folder of its own.

    Raises:
        TramaError: it was stopped, another process trains in the same folder, or the checkpoint is
            damaged or of another configuration.
    """
    device = torch_device(params.device)
    config = params.train
    n_test_envs = min(config.n_envs, params.env.settings.most_envs or config.n_envs)

    def seed(purpose: str) -> int:
        return derive_seed(params.study_seed, "train", params.problem_name, params.seed, purpose)

    torch.manual_seed(seed("labels"))
    mixer_statistics = read_statistics(state_statistics, config.mixer_states)
    saved = Checkpoint(checkpoint, checkpoint.name, device)
    with (
        saved.locked(),
        StopRequest() as stop,
        make_env(params.problem, run_settings.of(params.env), config.n_envs, threads) as env,
        make_env(params.problem, run_settings.of(params.env), n_test_envs, threads) as test_env,
    ):
        labels = _labels(
            params, state_statistics, vqvae, centroids, classifier, env, seed("labels"), device
        )
        torch.manual_seed(seed("networks"))
        learner = build_learner(
            env.spec,
            params.variant.mixer,
            config,
            mixer_statistics,
            device,
            None if labels is None else labels.n_classes,
            params.representation is not None and params.representation.class_number is not None,
        )
        if collected_learner is not None:
            load_learner(learner, collected_learner)
        shift_mixture(env, config.mixture_shift, env_steps=0)
        trainer = Trainer(
            env,
            learner,
            config,
            labels,
            seed("policy"),
            seed("env"),
            device,
            run_settings.replay_on_device,
            0 if trajectories is None else params.collect_env_steps or 0,
        )
        if trajectories is not None:
            slots = insert_collected(trainer.replay, trajectories, env.spec)
            if collected_learner is None:
                trainer.unlearnt = count_collected(trajectories)
            if labels is not None:
                labels.label(trainer.replay, slots, device)
                trainer.replay.tell_labels(slots)
        logger.info("start: %s", config.start)
        run = _Run(params, trainer, test_env, seed("test"))
        if saved.load(run):
            logger.info("going on from the checkpoint at %d env steps", trainer.env_steps)
        _train(run, saved, stop, run_settings)
        if trainer.env_steps != run.tested_at:
            run.test()
        run.last_model().save(policy_last)
        run.best_model().save(policy_best)
        if embeddings is not None:
            _write_embeddings(embeddings, run.clusterings, env.spec.tasks, run.offset, provenance)
        if codebook is not None:
            uses = [(run.offset + each.env_steps, each.codes) for each in run.clusterings]
            write_codebook(codebook, uses, env.spec.tasks, provenance)
        run.history.write(history, provenance)
        write_timing(timing, trainer.timed.phases, provenance)
        if not run_settings.keep_checkpoint:
            saved.remove()


def _train(run: "_Run", saved: Checkpoint, stop: StopRequest, settings: RunSettings) -> None:
    """The loop, with its checkpoints."""
    trainer, params = run.trainer, run.params
    last_saved = time.monotonic()
    description = f"train {params.variant_name} {params.problem_name} seed {params.seed}"
    with Progress(description, run.config.env_steps, "env steps", trainer.env_steps) as progress:
        while trainer.env_steps < run.config.env_steps:
            run.step()
            lost = {"lost_episodes": run.lost_episodes} if run.lost_episodes else {}
            progress.update(trainer.env_steps, test_win_rate=run.win_rate, **lost)
            if stop.requested:
                written = _save(run, saved)
                raise TramaError(
                    f"{description}: stopped by {stop.requested} at {trainer.env_steps} env steps; "
                    + ("the next run goes on from here" if written else "no checkpoint was written")
                )
            if time.monotonic() - last_saved >= 60 * settings.checkpoint_minutes:
                _save(run, saved)
                last_saved = time.monotonic()
    if settings.keep_checkpoint:
        _save(run, saved)


def _save(run: "_Run", saved: Checkpoint) -> bool:
    """Write a checkpoint; if that fails, the training is worth more, and goes on without."""
    with run.trainer.timed("checkpoint"):
        try:
            saved.save(run)
        except OSError as error:
            logger.warning(
                "%s: the checkpoint at %d env steps could not be written (%s); the one before it "
                "is whole, and the training goes on. Make room on the disk.",
                saved.folder,
                run.trainer.env_steps,
                error,
            )
            return False
    logger.info("checkpoint at %d env steps", run.trainer.env_steps)
    return True


def _labels(
    params: TrainParams,
    state_statistics: Path,
    vqvae: Path | None,
    centroids: Path | None,
    classifier: Path | None,
    env: VectorEnv,
    seed: int,
    device: torch.device,
) -> Labels | None:
    if params.variant.labels == "true_task":
        return TrueTaskLabels(len(env.spec.tasks))
    if params.representation is None:
        return None
    assert params.cluster is not None
    definition = params.representation
    statistics = read_statistics(state_statistics, definition.states)
    embedding = make_embedding(statistics, definition, params.pretrain or Pretrain(), device)
    n_classes = definition.most_classes
    network = Classifier(embedding.size, n_classes, params.cluster.classifier).to(device)
    known: tuple[np.ndarray | None, float] = (None, 0.0)
    if params.train.warm_start:
        assert centroids is not None and classifier is not None
        if vqvae is not None:
            load_weights(embedding, vqvae, "pretrain", device)
        load_weights(network, classifier, "cluster", device)
        known = read_centroids(centroids)
    return ClusterLabels(embedding, network, *known, definition, params.cluster, params.train, seed)


class _Run:
    """A training, and what is measured on its way."""

    def __init__(self, params: TrainParams, trainer: Trainer, test_env: VectorEnv, seed: int):
        self.params, self.config, self.trainer = params, params.train, trainer
        self.test_env, self.seed = test_env, seed
        self.offset = params.collect_env_steps or 0
        self.history = History()
        self.recent: list[Episodes] = []
        self.next_test = 0
        self.tested_at = -1
        self.win_rate = 0.0
        self.best = (-1.0, -np.inf)
        self.best_weights: dict[str, torch.Tensor] = {}
        self.best_representation: TrainedRepresentation | None = None
        self.best_class_of_task: dict[str, int | None] = {}
        self.best_novelty: Novelty | None = None
        self.clusterings: list[Clustering] = []
        self._warned: set[str] = set()

    @property
    def replay(self) -> ReplayBuffer:
        """See `Resumable`."""
        return self.trainer.replay

    @property
    def lost_episodes(self) -> int:
        """Thrown away so far, in training and tests, since their game failed."""
        return self.trainer.rollout.env.lost_episodes + self.test_env.lost_episodes

    @property
    def representation(self) -> TrainedRepresentation | None:
        """The representation behind its classes, as it is now."""
        return None if self.trainer.labels is None else self.trainer.labels.representation

    @property
    def class_of_task(self) -> dict[str, int | None]:
        """The class that stands for each true task, as it is now; for measuring only."""
        labels = self.trainer.labels
        return {} if labels is None else labels.class_of_task(self.replay, self.test_env.spec.tasks)

    @property
    def novelty(self) -> Novelty | None:
        """Scores of novelty of the predictor as it is now."""
        policy = self.trainer.learner.tested_policy
        if policy.predictor is None:
            return None
        return fit_novelty(policy, self.replay, self.trainer.device)

    def state_dict(self) -> State:
        """See `Resumable`."""
        best, novelty = self.best_representation, self.best_novelty
        return {
            "trainer": self.trainer.state_dict(),
            "history": self.history.state_dict(),
            "recent": [as_state(episodes) for episodes in self.recent],
            "clusterings": [as_state(clustering) for clustering in self.clusterings],
            "best_weights": self.best_weights,
            "best_representation": None if best is None else best.content(),
            "best_novelty": None if novelty is None else novelty.content(),
            "warned": sorted(self._warned),
            "lost_tests": self.test_env.lost_episodes,
            **{name: getattr(self, name) for name in _MEASURED},
        }

    def load_state_dict(self, state: State) -> None:
        """See `Resumable`."""
        reached = state["trainer"]["env_steps"]
        if reached > self.config.env_steps:
            raise TramaError(
                f"config key train.env_steps: {self.config.env_steps + self.offset} is less than "
                f"the {reached + self.offset} env steps that the checkpoint of "
                f"{self.params.variant_name}, seed {self.params.seed}, has reached. Raise it, "
                "or remove the checkpoint's folder below results/<study>/checkpoints to train from "
                "the start."
            )
        self.trainer.load_state_dict(state["trainer"])
        self.history.load_state_dict(state["history"])
        self.recent = [from_state(Episodes, each) for each in state["recent"]]
        self.clusterings = [from_state(Clustering, each) for each in state["clusterings"]]
        self.best_weights = state["best_weights"]
        best = state["best_representation"]
        if best is not None:
            self.best_representation = TrainedRepresentation.of(best, self.trainer.device)
        novelty = state["best_novelty"]
        if novelty is not None:
            self.best_novelty = Novelty.of(novelty, self.trainer.device)
        self._warned = set(state["warned"])
        self.test_env.lost_episodes = state["lost_tests"]
        for name in _MEASURED:
            setattr(self, name, state[name])

    def step(self) -> None:
        """One step of all environments, and the updates, clusterings and tests that fall due.

        Before the first one, the updates after one of the collected episodes, and a test after the
        last.
        """
        trainer = self.trainer
        if trainer.unlearnt:
            trainer.learn_collected()
            return
        if self.tested_at < 0:
            self.test()
        finished = trainer.step()
        shift_mixture(trainer.rollout.env, self.config.mixture_shift, trainer.env_steps)
        if len(finished):
            self.recent.append(Episodes.of(trainer.replay, finished))
        self._recluster()
        if trainer.env_steps >= self.next_test:
            self.test()

    def test(self) -> None:
        """Play the test episodes, log what is measured, and keep the policy if it is the best."""
        trainer, history = self.trainer, self.history
        policy = trainer.learner.tested_policy
        while self.next_test <= trainer.env_steps:
            self.next_test += self.config.test_interval
        self.tested_at = trainer.env_steps
        tasks = self.test_env.spec.tasks
        with trainer.timed("test"):
            replay, slots = play_episodes(
                self.test_env, policy, self.config.test_episodes, self.seed, trainer.device
            )
            played = Episodes.of(replay, slots)
            self._now()
            history.add("epsilon", trainer.epsilon)
            if self.lost_episodes:
                history.add("lost_episodes", self.lost_episodes)
            history.add_episodes("test", played, tasks)
            if self.recent:
                trained = Episodes.concatenate(self.recent)
                history.add_episodes("train", trained, tasks)
                self.recent.clear()
            for name, value in trainer.losses.pop().items():
                history.add(name, value)
            if trainer.labels is not None:
                trainer.labels.label(replay, slots, trainer.device)
            # Before the first clustering there is nothing to compare predictions with.
            if trainer.labels is not None and (replay.label[slots] != NO_LABEL).all():
                batch = replay.batch(slots, trainer.device)
                accuracy = predictor_accuracy(batch)
                history.add("predictor_accuracy", accuracy.overall)
                history.add("predictor_balanced_accuracy", accuracy.balanced)
                history.add("majority_rate", majority_rate(replay.label[slots]))
                for step, value in enumerate(accuracy.by_step):
                    history.add("predictor_accuracy", value, step=step)
                swap = class_swap(policy, replay, slots, trainer.device)
                history.add("class_swap_effect", swap.overall_effect)
                history.add("class_swap_actions", swap.overall_actions)
            self.win_rate = float(played.won.mean())
            score = (self.win_rate, float(played.episode_return.mean()))
            if score > self.best:
                self.best = score
                self.best_weights = copy.deepcopy(policy.state_dict())
                self.best_representation = copy.deepcopy(self.representation)
                self.best_class_of_task = self.class_of_task
                self.best_novelty = self.novelty
        self._warn()

    def last_model(self) -> TrainedModel:
        """The policy and representation of now."""
        policy = self.trainer.learner.tested_policy
        return self._model(
            policy, self.win_rate, self.representation, self.class_of_task, self.novelty
        )

    def best_model(self) -> TrainedModel:
        """The policy and representation of the best test."""
        policy = copy.deepcopy(self.trainer.learner.tested_policy)
        policy.load_state_dict(self.best_weights)
        return self._model(
            policy,
            self.best[0],
            self.best_representation,
            self.best_class_of_task,
            self.best_novelty,
        )

    def _model(
        self,
        policy: Policy,
        win_rate: float,
        representation: TrainedRepresentation | None,
        class_of_task: dict[str, int | None],
        novelty: Novelty | None,
    ) -> TrainedModel:
        params = self.params
        return TrainedModel(
            policy=policy,
            test_win_rate=win_rate,
            problem_name=params.problem_name,
            problem=params.problem,
            env=params.env,
            variant_name=params.variant_name,
            seed=params.seed,
            study_seed=params.study_seed,
            representation=representation,
            class_of_task=class_of_task,
            novelty=novelty,
        )

    def _recluster(self) -> None:
        """Cluster anew where that is due, and log it."""
        clustering = self.trainer.recluster()
        if clustering is not None:
            self.clusterings.append(clustering)
            self._now()
            for name, value in clustering.metrics.items():
                self.history.add(name, value)
            for number, share in enumerate(clustering.class_share):
                self.history.add("class_share", share, f"class {number}")

    def _now(self) -> None:
        trainer = self.trainer
        self.history.at(self.offset + trainer.env_steps, trainer.updates, trainer.episodes)

    def _warn(self) -> None:
        if self.trainer.labels is None:
            return
        found = training_warnings(self.history, len(self.trainer.labels.classes))
        for kind, message in found.items():
            if kind not in self._warned:
                self._warned.add(kind)
                logger.warning("after %d env steps: %s", self.trainer.env_steps, message)


def _write_embeddings(
    path: Path,
    clusterings: list[Clustering],
    tasks: tuple[str, ...],
    offset: int,
    provenance: Provenance,
) -> None:
    """One row per trajectory and clustering; no rows where none was due."""
    with TableWriter(path, "embeddings", provenance) as writer:
        for clustering in clusterings:
            n_rows = len(clustering.episode)
            writer.append(
                {
                    "env_steps": np.full(n_rows, offset + clustering.env_steps),
                    "episode": clustering.episode.astype(np.int32),
                    "task": [tasks[number] for number in clustering.task],
                    "label": clustering.clusters.labels.astype(np.int32),
                    "embedding": clustering.embedding,
                }
            )
