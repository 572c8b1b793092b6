"""Stage pretrain: the VQ-VAE on the collected states (the paper's quantised latent space)."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from trama.config.params import PretrainParams
from trama.data.parquet import Provenance, write_table
from trama.learning.build import make_embedding, read_statistics, save_weights
from trama.learning.clustering import fit_clusters
from trama.progress import Progress
from trama.runtime import torch_device
from trama.seeds import derive_seed
from trama.stages.trajectory_states import embed_trajectories, naming, read_states

RECORDS = 100
"""Points of the loss history over a run."""


def pretrain(
    params: PretrainParams,
    provenance: Provenance,
    *,
    trajectories: Path,
    state_statistics: Path,
    vqvae: Path,
    vqvae_history: Path,
) -> None:
    """Train the VQ-VAE and write it with the scaling of its states.

    Coverage J(t,k) needs classes: each trajectory has a random one in the first part of the
    updates, then the K-means label of its embedding, renewed `relabel_rounds` times.
    """
    device = torch_device(params.device)
    config, representation = params.pretrain, params.representation

    def seed(purpose: str) -> int:
        return derive_seed(params.study_seed, "pretrain", params.problem_name, params.seed, purpose)

    by_class = representation.coverage == "time_class"
    data = read_states(trajectories, representation.n_classes if by_class else 1)
    statistics = read_statistics(state_statistics, representation.states)
    torch.manual_seed(seed("networks"))
    rng = np.random.default_rng(seed("batches"))
    embedding = make_embedding(statistics, representation, config, device)
    network = embedding.vqvae
    assert network is not None
    optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    rounds = representation.relabel_rounds + 1 if by_class else 1
    relabel_at = {config.updates * part // rounds for part in range(1, rounds)}
    classes = rng.integers(representation.n_classes, size=len(data))
    centroids: np.ndarray | None = None
    everything = np.arange(len(data))
    batch_size = min(config.batch_size, len(data))
    history: dict[str, list[float]] = {name: [] for name in ("update", "codes_in_use")}
    record_every = max(config.updates // RECORDS, 1)
    with Progress(f"pretrain {params.representation_name}", config.updates, "updates") as progress:
        for update in range(1, config.updates + 1):
            if update - 1 in relabel_at:
                points = embed_trajectories(data, embedding, everything, device)
                assert params.cluster_n_init is not None
                with naming(trajectories):
                    clusters = fit_clusters(
                        points,
                        representation.n_classes,
                        seed("relabel"),
                        params.cluster_n_init,
                        centroids,
                    )
                classes, centroids = clusters.labels, clusters.centroids
            drawn = rng.choice(len(data), batch_size, replace=False)
            state, packing, order = data.rows(drawn)
            current = packing.current
            label = torch.from_numpy(classes[order])[packing.episode[current]] if by_class else None
            loss = network.loss(
                embedding.scaler(state[current].to(device)),
                packing.step[current].to(device),
                packing.n_steps - 1,
                None if label is None else label.to(device),
            )
            optimiser.zero_grad()
            loss.total.backward()
            optimiser.step()
            if update % record_every == 0 or update == config.updates:
                history["update"].append(update)
                for field in fields(loss):
                    column = "loss" if field.name == "total" else field.name
                    history.setdefault(column, []).append(float(getattr(loss, field.name).detach()))
                history["codes_in_use"].append(embedding.codes_in_use(state[current].to(device)))
                progress.update(update, loss=history["loss"][-1])
    save_weights(embedding, vqvae)
    write_table(vqvae_history, "vqvae_history", history, provenance)
