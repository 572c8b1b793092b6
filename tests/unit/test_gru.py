"""The packed GRU against PyTorch's own, outputs and gradients."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from trama.networks.gru import PackedGRU, _shares

SIZES = [[1], [5, 5, 3, 3, 1, 1], [4, 1, 1], [3, 3, 3], [6, 2]]


def _gradients(output: Tensor, by: Tensor, gru: PackedGRU, rows: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(output, [rows, *gru.parameters()], by))


@pytest.mark.parametrize("batch_sizes", SIZES)
def test_outputs_and_gradients_of_torch(batch_sizes: list[int]) -> None:
    torch.manual_seed(len(batch_sizes))
    gru = PackedGRU(3, 4).double()
    rows = torch.randn(sum(batch_sizes), 3, dtype=torch.float64, requires_grad=True)
    own = gru(rows, batch_sizes)
    theirs = gru.gru(PackedSequence(rows, torch.tensor(batch_sizes)))[0].data
    torch.testing.assert_close(own, theirs, rtol=0, atol=1e-12)
    by = torch.randn_like(own)
    for mine, expected in zip(
        _gradients(own, by, gru, rows), _gradients(theirs, by, gru, rows), strict=True
    ):
        torch.testing.assert_close(mine, expected, rtol=0, atol=1e-11)


def test_numerical_gradients() -> None:
    torch.manual_seed(0)
    gru = PackedGRU(2, 3).double()
    rows = torch.randn(8, 2, dtype=torch.float64, requires_grad=True)
    names, weights = zip(*gru.named_parameters(), strict=True)

    def run(rows: Tensor, *weights: Tensor) -> Tensor:
        replaced = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(gru, replaced, (rows, [4, 3, 1]))

    assert torch.autograd.gradcheck(run, (rows, *weights))


@pytest.mark.parametrize("layout", ["transposed", "expanded"])
def test_gradient_in_any_memory_layout(layout: str) -> None:
    torch.manual_seed(1)
    gru = PackedGRU(3, 4)
    rows = torch.randn(9, 3, requires_grad=True)
    output = gru(rows, [5, 3, 1])
    by = torch.randn(4, 9).t() if layout == "transposed" else torch.randn(1, 4).expand(9, 4)
    strided = _gradients(output, by, gru, rows)
    plain = _gradients(gru(rows, [5, 3, 1]), by.contiguous(), gru, rows)
    for a, b in zip(strided, plain, strict=True):
        torch.testing.assert_close(a, b)


def test_single_steps_equal_the_packed_form() -> None:
    torch.manual_seed(2)
    gru = PackedGRU(3, 4)
    batch_sizes = [5, 3, 3, 1]
    rows = torch.randn(sum(batch_sizes), 3)
    hidden = torch.zeros(5, 4)
    stepped = []
    for part in rows.split(batch_sizes):
        hidden = gru.step(part, hidden[: len(part)])
        stepped.append(hidden)
    torch.testing.assert_close(torch.cat(stepped), gru(rows, batch_sizes))


def test_sequences_do_not_touch_each_other() -> None:
    torch.manual_seed(3)
    gru = PackedGRU(3, 4)
    rows = torch.randn(9, 3)
    changed = rows.clone()
    changed[[1, 6]] += 1.0  # steps 0 and 1 of the second sequence
    difference = (gru(rows, [5, 3, 1]) - gru(changed, [5, 3, 1])).abs().sum(1)
    assert torch.nonzero(difference).flatten().tolist() == [1, 6]


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets PyTorch's number of threads until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_threads_share_the_sequences(n_threads: int, threads: Callable[[int], None]) -> None:
    """In single precision, whose gates are approximations, with hidden states near their bounds."""
    torch.manual_seed(4)
    gru = PackedGRU(5, 6)
    batch_sizes = [7, 7, 6, 4, 4, 4, 2, 1, 1]
    rows = (4 * torch.randn(sum(batch_sizes), 5)).requires_grad_()
    theirs = gru.gru(PackedSequence(rows, torch.tensor(batch_sizes)))[0].data
    by = torch.randn_like(theirs)
    expected = _gradients(theirs, by, gru, rows)
    threads(n_threads)
    results = []
    for _ in range(2):
        own = gru(rows, batch_sizes)
        results.append([own, *_gradients(own, by, gru, rows)])
    for mine, their in zip(results[0], [theirs, *expected], strict=True):
        torch.testing.assert_close(mine, their, rtol=1e-5, atol=2e-5)
    assert all(map(torch.equal, *results))
    without_gradient = gru(rows.detach(), batch_sizes)
    assert torch.equal(without_gradient, results[0][0])


@pytest.mark.parametrize(
    ("sizes", "n_shares", "expected"),
    [
        ([4, 4], 2, [(0, 2), (2, 4)]),
        ([2, 2, 2], 2, [(0, 1), (1, 2)]),
        ([4, 1, 1, 1, 1], 2, [(0, 1), (1, 4)]),
        ([3], 8, [(0, 1), (1, 2), (2, 3)]),
        ([5, 3], 1, [(0, 5)]),
    ],
)
def test_shares_have_about_equal_rows(
    sizes: list[int], n_shares: int, expected: list[tuple[int, int]]
) -> None:
    assert _shares(np.array(sizes), n_shares) == expected
