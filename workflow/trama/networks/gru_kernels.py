"""The recurrence of a GRU on the CPU, compiled by Numba; `gru.py` holds its place in autograd.

One call runs a range of sequences through all their steps, without Python in between, so that
several threads can each have a range of their own. What a step needs stays in the cache.

Of packed rows, `sizes` [T] counts the sequences that run at each step. Gates stand in the order of
`torch.nn.GRU`: reset r, update z, new n; jr, jz and jn are their columns of hidden unit j.
"""

import math
from typing import Any

import numpy as np
from numba import config, njit, types
from numba.extending import overload

from trama.compilation import compilation_cache

config.CACHE_DIR = str(compilation_cache("numba"))  # type: ignore[attr-defined]

Array = np.ndarray[Any, Any]

# Sums keep their order and infinities their meaning: only multiply-adds are fused.
_COMPILED: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract"},
}

# tanh in single precision as a ratio of polynomials (the coefficients of Eigen and XLA, error below
# 5e-7): unlike a call of libm it is vectorised, which makes the gates five times faster.
_LARGEST = np.float32(7.90531110763549805)  # tanh rounds to 1 from here
_P = tuple(
    map(
        np.float32,
        (
            -2.76076847742355e-16,
            2.00018790482477e-13,
            -8.60467152213735e-11,
            5.12229709037114e-08,
            1.48572235717979e-05,
            6.37261928875436e-04,
            4.89352455891786e-03,
        ),
    )
)
_Q = tuple(
    map(
        np.float32,
        (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03),
    )
)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)


def _tanh(x: Any) -> Any:
    """Replaced in compiled code by what suits the type."""
    return math.tanh(x)


@overload(_tanh, inline="always")
def _tanh_of_type(x: Any) -> Any:
    def exact(x: Any) -> Any:
        return math.tanh(x)

    def ratio(x: Any) -> Any:
        x = max(min(x, _LARGEST), -_LARGEST)
        y = x * x
        p = _P[0] * y + _P[1]
        p = p * y + _P[2]
        p = p * y + _P[3]
        p = p * y + _P[4]
        p = p * y + _P[5]
        p = p * y + _P[6]
        q = _Q[0] * y + _Q[1]
        q = q * y + _Q[2]
        q = q * y + _Q[3]
        return p * x / q

    return ratio if x == types.float32 else exact


@njit(**_COMPILED)
def forward(
    rows: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array,
    b_hh: Array,
    sizes: Array,
    first: int,
    stop: int,
    hidden: Array,
    gates: Array,
) -> None:
    """Run the sequences `first` to `stop` from zero hidden states.

    Args:
        rows: inputs [R, I].
        w_ih, w_hh: transposed weights [I, 3H] and [H, 3H], contiguous.
        b_ih, b_hh: biases [3H].
        hidden: [R, H], written.
        gates: [R, 4H], written for `backward`: r, z, n, and the recurrent part of n. With no rows,
            nothing is kept.
    """
    size = w_hh.shape[0]
    most = min(stop, sizes[0]) - first
    inputs = np.empty((most, 3 * size), rows.dtype)
    recurrent = np.empty((most, 3 * size), rows.dtype)
    before = np.zeros((most, size), rows.dtype)
    keep = len(gates) > 0
    start = first
    for t in range(len(sizes)):
        m = min(stop, sizes[t]) - first
        if m <= 0:
            break
        np.dot(rows[start : start + m], w_ih, inputs[:m])
        np.dot(before[:m], w_hh, recurrent[:m])
        for i in range(m):
            for jr in range(size):
                jz, jn = jr + size, jr + 2 * size
                r = inputs[i, jr] + recurrent[i, jr] + b_ih[jr] + b_hh[jr]
                z = inputs[i, jz] + recurrent[i, jz] + b_ih[jz] + b_hh[jz]
                r = _HALF + _HALF * _tanh(_HALF * r)
                z = _HALF + _HALF * _tanh(_HALF * z)
                w = recurrent[i, jn] + b_hh[jn]
                n = _tanh(inputs[i, jn] + b_ih[jn] + r * w)
                if keep:
                    gates[start + i, jr] = r
                    gates[start + i, jz] = z
                    gates[start + i, jn] = n
                    gates[start + i, jr + 3 * size] = w
                hidden[start + i, jr] = n + z * (before[i, jr] - n)
        before = hidden[start : start + m]
        start += sizes[t]


@njit(**_COMPILED)
def backward(
    rows: Array,
    w_ih: Array,
    w_hh: Array,
    sizes: Array,
    first: int,
    stop: int,
    hidden: Array,
    gates: Array,
    grad_hidden: Array,
    grad_rows: Array,
    grad_w_ih: Array,
    grad_w_hh: Array,
    grad_b_ih: Array,
    grad_b_hh: Array,
) -> None:
    """Gradients of the sequences `first` to `stop`, from what `forward` kept.

    Args:
        w_ih, w_hh: weights [3H, I] and [3H, H], contiguous.
        grad_hidden: [R, H], of each hidden state by itself.
        grad_rows: [R, I], written.
        grad_w_ih, grad_w_hh, grad_b_ih, grad_b_hh: of all weights, written.
    """
    size = hidden.shape[1]
    most = min(stop, sizes[0]) - first
    by_input = np.empty((most, 3 * size), rows.dtype)  # of the gates before their non-linearity
    by_recurrent = np.empty((most, 3 * size), rows.dtype)  # the same, where n has the factor r
    later = np.zeros((most, size), rows.dtype)  # gradient that comes from the step after
    through = np.empty((most, size), rows.dtype)
    nothing = np.zeros((most, size), rows.dtype)
    part_ih, part_hh = np.empty_like(w_ih), np.empty_like(w_hh)
    grad_w_ih[:] = 0
    grad_w_hh[:] = 0
    grad_b_ih[:] = 0
    grad_b_hh[:] = 0
    starts = np.cumsum(sizes) - sizes + first
    for t in range(len(sizes) - 1, -1, -1):
        m = min(stop, sizes[t]) - first
        if m <= 0:
            continue
        start = starts[t]
        before = hidden[starts[t - 1] : starts[t - 1] + m] if t > 0 else nothing[:m]
        for i in range(m):
            for jr in range(size):
                jz, jn = jr + size, jr + 2 * size
                r, z, n = gates[start + i, jr], gates[start + i, jz], gates[start + i, jn]
                w = gates[start + i, jr + 3 * size]
                d = grad_hidden[start + i, jr] + later[i, jr]
                to_n = d * (_ONE - z) * (_ONE - n * n)
                to_r = to_n * w * r * (_ONE - r)
                to_z = d * (before[i, jr] - n) * z * (_ONE - z)
                by_input[i, jr] = to_r
                by_input[i, jz] = to_z
                by_input[i, jn] = to_n
                by_recurrent[i, jr] = to_r
                by_recurrent[i, jz] = to_z
                by_recurrent[i, jn] = to_n * r
                later[i, jr] = d * z
        np.dot(by_recurrent[:m], w_hh, through[:m])
        for i in range(m):
            for j in range(size):
                later[i, j] += through[i, j]
            for j in range(3 * size):
                grad_b_ih[j] += by_input[i, j]
                grad_b_hh[j] += by_recurrent[i, j]
        np.dot(by_input[:m], w_ih, grad_rows[start : start + m])
        np.dot(by_input[:m].T, rows[start : start + m], part_ih)
        np.dot(by_recurrent[:m].T, before, part_hh)
        grad_w_ih += part_ih
        grad_w_hh += part_hh
