"""f_psi: trajectory embedding to trajectory class (the paper's classifier)."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trama.config.model import Classifier as ClassifierConfig


class Classifier(nn.Module):
    """Embedding [M, d] -> hidden layers with ReLU -> K logits.

    Inputs are standardised by the embeddings of the last `fit`, so that one learning rate serves
    latent spaces of any scale.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, embedding_size: int, n_classes: int, config: ClassifierConfig):
        super().__init__()
        sizes = [embedding_size, *config.hidden_sizes]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], n_classes))
        self.register_buffer("mean", torch.zeros(embedding_size))
        self.register_buffer("scale", torch.ones(embedding_size))
        self.config = config

    def forward(self, embedding: Tensor) -> Tensor:
        return self.layers((embedding - self.mean) / self.scale)

    def classify(self, embedding: Tensor, classes: Tensor) -> Tensor:
        """Most likely class [M] of embeddings [M, d], among the `classes` that are in use."""
        with torch.no_grad():
            return classes[self(embedding)[:, classes].argmax(1)]

    def fit(
        self, embedding: Tensor, label: Tensor, classes: Tensor, generator: torch.Generator
    ) -> float:
        """Train on (embedding [M, d], label [M]) by cross-entropy; return the final accuracy.

        Labels are among the `classes` that are in use.
        """
        self.mean.copy_(embedding.mean(0))
        # A feature that (almost) never moved is not blown up: see `std_floor` of the states.
        spread = embedding.std(0)
        self.scale.copy_(spread.clamp(min=max(float(spread.max()) * 1e-2, 1e-6)))
        optimiser = torch.optim.Adam(self.parameters(), lr=self.config.learning_rate)
        for _ in range(self.config.epochs):
            order = torch.randperm(len(label), generator=generator).to(label.device)
            for batch in order.split(self.config.batch_size):
                loss = F.cross_entropy(self(embedding[batch]), label[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        return float((self.classify(embedding, classes) == label).float().mean())
