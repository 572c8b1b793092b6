"""A gated recurrent unit over packed rows (the parameters are those of `torch.nn.GRU`).

On the CPU `nn.GRU` spends most of its time in autograd's bookkeeping for each step. Here the
backward pass is written out, its element-wise part is done for all steps at once, and what is left
in the loop are three calls per step. On a GPU cuDNN's kernel is used.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence


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
        if rows.is_cuda:
            return self.gru(PackedSequence(rows, torch.tensor(batch_sizes)))[0].data
        hidden: Tensor = _Recurrence.apply(rows, *self._weights(), batch_sizes)
        return hidden

    def step(self, rows: Tensor, hidden: Tensor) -> Tensor:
        """One step from `hidden` [N, hidden_size] with inputs [N, input_size]."""
        return torch.gru_cell(rows, hidden, *self._weights())


class _Recurrence(torch.autograd.Function):
    """h' = (1 - z) n + z h with r, z = sigmoid(V x + W h), n = tanh(V x + r (W h)).

    The three gates are kept apart, [3, R, H] instead of [R, 3 H]: each is contiguous at every
    step, which makes the element-wise calls several times faster.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor,
        b_hh: Tensor,
        batch_sizes: list[int],
    ) -> Tensor:
        size = w_hh.shape[1]
        to_reset, to_update, to_new = w_hh.view(3, size, size).transpose(1, 2)
        bias = b_ih.clone()
        bias[: 2 * size] += b_hh[: 2 * size]
        gates = rows.new_empty(3, len(rows), size)  # r, z, n
        for gate, b, w in zip(gates, bias.split(size), w_ih.split(size), strict=True):
            torch.addmm(b, rows, w.t(), out=gate)
        recurrent = rows.new_empty(len(rows), size)  # W h + b of the new gate
        hidden = rows.new_empty(len(rows), size)
        new_bias = b_hh[2 * size :]
        previous = rows.new_zeros(batch_sizes[0], size)
        steps = zip(
            *(gate.split(batch_sizes) for gate in gates),
            recurrent.split(batch_sizes),
            hidden.split(batch_sizes),
            strict=True,
        )
        for r, z, n, w, h in steps:
            previous = previous[: len(r)]
            r.addmm_(previous, to_reset).sigmoid_()
            z.addmm_(previous, to_update).sigmoid_()
            torch.addmm(new_bias, previous, to_new, out=w)
            n.addcmul_(r, w)
            n.mul_(2.0).sigmoid_().mul_(2.0).sub_(1.0)  # tanh: twice as fast as tanh_ on the CPU
            torch.lerp(n, previous, z, out=h)
            previous = h
        ctx.batch_sizes = batch_sizes
        ctx.save_for_backward(rows, w_ih, w_hh, gates, recurrent, hidden)
        return hidden

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad_hidden,) = grads
        rows, w_ih, w_hh, gates, recurrent, hidden = ctx.saved_tensors
        sizes = ctx.batch_sizes
        size = w_hh.shape[1]
        r, z, n = gates
        previous = torch.cat(
            [hidden.new_zeros(sizes[0], size)]
            + [h[:m] for h, m in zip(hidden.split(sizes), sizes[1:], strict=False)]
        )
        # d(W h + b) / d(hidden state) of each gate, for all steps at once: the loop only scales it
        into_new = (1 - z) * (1 - n * n)
        slope = torch.empty_like(gates)
        torch.mul(into_new, r, out=slope[2])
        torch.mul(slope[2], recurrent, out=slope[0]).mul_(1 - r)
        torch.mul(previous - n, z, out=slope[1]).mul_(1 - z)

        weight = w_hh.view(3, size, size)
        total = grad_hidden.clone()  # gradient of each hidden state, later steps included
        grad_gates = torch.empty_like(gates)
        steps = list(
            zip(
                slope.split(sizes, 1),
                grad_gates.split(sizes, 1),
                total.split(sizes),
                z.split(sizes),
                strict=True,
            )
        )
        for t in range(len(sizes) - 1, -1, -1):
            slopes, grad, later, update = steps[t]
            torch.mul(slopes, later, out=grad)
            if t:
                earlier = steps[t - 1][2][: sizes[t]]
                earlier.addcmul_(later, update).addbmm_(grad, weight)
        grad_w_hh = torch.cat([grad.t() @ previous for grad in grad_gates])
        grad_b_hh = grad_gates.sum(1).flatten()
        torch.mul(total, into_new, out=grad_gates[2])  # no reset gate between input and n
        grad_w_ih = torch.cat([grad.t() @ rows for grad in grad_gates])
        grad_b_ih = grad_gates.sum(1).flatten()
        grad_rows = None
        if ctx.needs_input_grad[0]:
            grad_rows = torch.zeros_like(rows).addbmm_(grad_gates, w_ih.view(3, size, -1))
        return grad_rows, grad_w_ih, grad_w_hh, grad_b_ih, grad_b_hh, None
