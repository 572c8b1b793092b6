"""VQ-VAE over states with a coverage loss (the paper's quantised latent space)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trama.config.model import Pretrain, Representation


@dataclass(frozen=True)
class VQLoss:
    """The four terms, unweighted, and their weighted sum; each a scalar tensor."""

    total: Tensor
    reconstruction: Tensor
    vq: Tensor
    commitment: Tensor
    coverage: Tensor


class VQVAE(nn.Module):
    """Encoder, codebook and decoder.

    Args:
        state_size: S.
        representation: number of codes, their dimension d, and the coverage.
        config: hidden size and the weights of the loss.
    """

    def __init__(self, state_size: int, representation: Representation, config: Pretrain):
        super().__init__()
        hidden = config.hidden_size
        assert representation.n_codes is not None and representation.code_dim is not None
        self.n_codes, self.code_dim = representation.n_codes, representation.code_dim
        self.encoder = _mlp(state_size, hidden, self.code_dim)
        self.decoder = _mlp(self.code_dim, hidden, state_size)
        self.codebook = nn.Parameter(torch.rand(self.n_codes, self.code_dim))
        self.coverage = representation.coverage
        self.n_classes = representation.most_classes
        self.config = config

    def quantise(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Encode standardised states [R, S]: x [R, d] and the index of the nearest code [R]."""
        x = self.encoder(state)
        return x, nearest_code(x, self.codebook)

    def loss(self, state: Tensor, step: Tensor, n_steps: int, classes: Tensor | None) -> VQLoss:
        """Loss over real rows; padding never enters.

        Args:
            state: standardised states, [R, S].
            step: time step of each row, [R] int64.
            n_steps: T, the longest episode of the batch.
            classes: trajectory class of each row, [R] int64; only J(t,k) reads it.
        """
        x, index = self.quantise(state)
        code = self.codebook[index]
        through = x + (code - x).detach()  # straight-through: the decoder's gradient goes to x
        reconstruction = F.mse_loss(self.decoder(through), state)
        vq = ((x.detach() - code) ** 2).sum(1).mean()
        commitment = ((x - code.detach()) ** 2).sum(1).mean()
        coverage = vq.new_zeros(())
        if self.coverage != "none":
            own = self.n_codes
            if self.coverage == "time":
                start, stop = coverage_range(step, n_steps, self.n_codes)
            else:
                assert classes is not None
                own = self.n_codes // self.n_classes
                start, stop = class_coverage_range(
                    step, n_steps, self.n_codes, classes, self.n_classes
                )
            most = max(-(-own // n_steps), 1)
            coverage = coverage_loss(x.detach(), self.codebook, start, stop, most)
        config = self.config
        total = (
            reconstruction
            + config.vq_weight * vq
            + config.commitment_weight * commitment
            + config.coverage_weight * coverage
        )
        return VQLoss(total, reconstruction, vq, commitment, coverage)


def nearest_code(x: Tensor, codebook: Tensor) -> Tensor:
    """Index [R] of the code nearest to each x [R, d] among [n_c, d]; the first one on a tie."""
    with torch.no_grad():
        # |x|^2 is the same for all codes and left out
        return torch.addmm((codebook**2).sum(1), x, codebook.t(), alpha=-2).argmin(1)


def coverage_range(step: Tensor, n_steps: int, n_codes: int) -> tuple[Tensor, Tensor]:
    """J(t) of LAGMA: codes [floor(n_c t / T), floor(n_c (t+1) / T)), one code where n_c < T.

    Args:
        step: t of each row, [R] int64 in [0, T).
        n_steps: T.
        n_codes: n_c.

    Returns:
        First and one-past-last code of each row, both [R].
    """
    start = n_codes * step // n_steps
    stop = torch.maximum(n_codes * (step + 1) // n_steps, start + 1)
    return start, stop


def class_coverage_range(
    step: Tensor, n_steps: int, n_codes: int, classes: Tensor, n_classes: int
) -> tuple[Tensor, Tensor]:
    """J(t, k) of TRAMA (paper eq. 5): J(t) within the n_k = floor(n_c / K) codes of class k."""
    own = n_codes // n_classes
    start, stop = coverage_range(step, n_steps, own)
    return classes * own + start, classes * own + stop


def coverage_loss(x: Tensor, codebook: Tensor, start: Tensor, stop: Tensor, most: int) -> Tensor:
    """Mean over rows of the mean over j in [start, stop) of |x - e_j|^2; x carries no gradient.

    `most` is at least the largest number of codes of a row: known without asking the device.
    """
    index = start.unsqueeze(1) + torch.arange(most, device=x.device)
    inside = index < stop.unsqueeze(1)
    codes = codebook[index.clamp(max=len(codebook) - 1)]  # [R, most, d]
    distance = ((x.unsqueeze(1) - codes) ** 2).sum(2)
    return ((distance * inside).sum(1) / inside.sum(1)).mean()


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
    )
