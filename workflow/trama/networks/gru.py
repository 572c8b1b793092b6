"""A gated recurrent unit over packed rows (the parameters are those of `torch.nn.GRU`).

On the CPU `nn.GRU` spends most of its time in autograd's bookkeeping for each step, and can use a
second thread for next to nothing. There the recurrence is a compiled kernel, and threads share the
sequences out between them. On a GPU cuDNN's kernel is used.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import PackedSequence

Result = TypeVar("Result")


class PackedGRU(nn.Module):
    """One GRU layer that starts every sequence from a zero hidden state."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.hidden_size = hidden_size
        self.gru = nn.GRU(input_size, hidden_size)

    def _weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Input weight, recurrent weight, input bias, recurrent bias."""
        w_ih, w_hh, b_ih, b_hh = self.gru.all_weights[0]
        return w_ih, w_hh, b_ih, b_hh

    def forward(self, rows: Tensor, batch_sizes: list[int]) -> Tensor:
        """Run all sequences.

        Args:
            rows: [R, input_size], time-major packed.
            batch_sizes: sequences that run at each step; not increasing; its sum is R.

        Returns:
            Hidden states [R, hidden_size].
        """
        if rows.device.type != "cpu":
            return self.gru(PackedSequence(rows, torch.tensor(batch_sizes)))[0].data
        keep = torch.is_grad_enabled()
        hidden: Tensor = _Recurrence.apply(rows, *self._weights(), batch_sizes, keep)
        return hidden

    def step(self, rows: Tensor, hidden: Tensor) -> Tensor:
        """One step from `hidden` [N, hidden_size] with inputs [N, input_size]."""
        return torch.gru_cell(rows, hidden, *self._weights())


class _Recurrence(torch.autograd.Function):
    """h' = (1 - z) n + z h with r, z = sigmoid(V x + W h), n = tanh(V x + r (W h))."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor,
        b_hh: Tensor,
        batch_sizes: list[int],
        keep: bool,
    ) -> Tensor:
        """`keep` says whether a backward pass may follow."""
        from trama.networks import gru_kernels  # Numba takes 0.4 s, which who only plays can save

        size = w_hh.shape[1]
        rows = rows.contiguous()
        hidden = rows.new_empty(len(rows), size)
        gates = rows.new_empty(len(rows) if keep else 0, 4 * size)
        sizes = np.array(batch_sizes)
        weights = (w_ih.t().contiguous(), w_hh.t().contiguous(), b_ih, b_hh)
        arguments = _arrays(rows, *weights)
        written = _arrays(hidden, gates)

        def run(first: int, stop: int) -> None:
            gru_kernels.forward(*arguments, sizes, first, stop, *written)

        _in_threads(run, sizes)
        if keep:
            ctx.sizes = sizes
            ctx.save_for_backward(rows, w_ih, w_hh, hidden, gates)
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from trama.networks import gru_kernels

        rows, w_ih, w_hh, hidden, gates = ctx.saved_tensors
        weights = (w_ih.contiguous(), w_hh.contiguous())
        grad_rows = torch.empty_like(rows)
        arguments = _arrays(rows, *weights)
        kept = _arrays(hidden, gates, grads[0].contiguous(), grad_rows)

        def run(first: int, stop: int) -> list[Tensor]:
            parts = [torch.empty_like(w) for w in weights]
            parts += [w.new_empty(len(w)) for w in weights]
            gru_kernels.backward(*arguments, ctx.sizes, first, stop, *kept, *_arrays(*parts))
            return parts

        parts = _in_threads(run, ctx.sizes)
        grad_weights = [torch.stack(part).sum(0) for part in zip(*parts, strict=True)]
        return grad_rows, *grad_weights, None, None


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().numpy() for tensor in tensors]


def _in_threads(run: Callable[[int, int], Result], sizes: np.ndarray) -> list[Result]:
    """Results of `run(first, stop)` for ranges of sequences, one for each thread of PyTorch's."""
    own, *others = _shares(sizes, torch.get_num_threads())
    if not others:
        return [run(*own)]
    waiting = [_pool(len(others)).submit(run, *share) for share in others]
    return [run(*own), *(each.result() for each in waiting)]


def _shares(sizes: np.ndarray, n_shares: int) -> Sequence[tuple[int, int]]:
    """Ranges of sequences with about the same number of rows; long sequences come first."""
    length = (np.arange(sizes[0])[:, None] < sizes).sum(1)
    goals = np.arange(1, n_shares) / n_shares * length.sum()
    cuts = np.abs(np.cumsum(length)[:, None] - goals).argmin(0) + 1
    bounds = np.unique([0, *cuts, sizes[0]]).tolist()
    return list(pairwise(bounds))


@cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, "gru")
