"""VQ-VAE: index sets, coverage, and the gradient of each term by hand."""

import pytest
import torch
from torch import Tensor, nn

from trama.config.model import Pretrain, Representation
from trama.networks.vqvae import (
    VQVAE,
    class_coverage_range,
    coverage_loss,
    coverage_range,
    nearest_code,
)


def _number(tensor: Tensor) -> float:
    return float(tensor.detach())


def _sets(start: Tensor, stop: Tensor) -> list[list[int]]:
    return [list(range(a, b)) for a, b in zip(start.tolist(), stop.tolist(), strict=True)]


@pytest.mark.parametrize(
    ("n_codes", "n_steps", "expected"),
    [
        (8, 4, [[0, 1], [2, 3], [4, 5], [6, 7]]),
        (7, 3, [[0, 1], [2, 3], [4, 5, 6]]),
        (4, 4, [[0], [1], [2], [3]]),
        (3, 5, [[0], [0], [1], [1], [2]]),
        (1, 3, [[0], [0], [0]]),
        (5, 1, [[0, 1, 2, 3, 4]]),
    ],
)
def test_index_sets_over_time(n_codes: int, n_steps: int, expected: list[list[int]]) -> None:
    assert _sets(*coverage_range(torch.arange(n_steps), n_steps, n_codes)) == expected


@pytest.mark.parametrize(
    ("n_codes", "n_classes", "n_steps", "label", "expected"),
    [
        (8, 2, 2, 1, [[4, 5], [6, 7]]),
        (10, 3, 3, 2, [[6], [7], [8]]),  # n_k = 3; code 9 belongs to nobody
        (10, 3, 2, 1, [[3], [4, 5]]),
        (6, 3, 4, 1, [[2], [2], [3], [3]]),  # n_k = 2 < T
        (3, 3, 2, 2, [[2], [2]]),
    ],
)
def test_index_sets_over_time_and_class(
    n_codes: int, n_classes: int, n_steps: int, label: int, expected: list[list[int]]
) -> None:
    steps, classes = torch.arange(n_steps), torch.full((n_steps,), label)
    assert _sets(*class_coverage_range(steps, n_steps, n_codes, classes, n_classes)) == expected


@pytest.mark.parametrize(("n_codes", "n_steps"), [(256, 101), (256, 256), (30, 7), (64, 1)])
def test_all_codes_are_covered_once_over_time(n_codes: int, n_steps: int) -> None:
    sets = _sets(*coverage_range(torch.arange(n_steps), n_steps, n_codes))
    assert [code for codes in sets for code in codes] == list(range(n_codes))


@pytest.mark.parametrize(("n_codes", "n_classes", "n_steps"), [(256, 3, 50), (12, 4, 9), (9, 2, 4)])
def test_classes_own_disjoint_codes(n_codes: int, n_classes: int, n_steps: int) -> None:
    own: list[set[int]] = []
    for label in range(n_classes):
        ranges = class_coverage_range(
            torch.arange(n_steps), n_steps, n_codes, torch.full((n_steps,), label), n_classes
        )
        own.append({code for codes in _sets(*ranges) for code in codes})
    everything = set().union(*own)
    assert sum(map(len, own)) == len(everything)
    assert everything <= set(range(n_codes))
    if n_codes // n_classes >= n_steps:
        assert [len(codes) for codes in own] == [n_codes // n_classes] * n_classes


def test_coverage_loss_by_hand() -> None:
    codebook = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]], requires_grad=True)
    x = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    loss = coverage_loss(x, codebook, torch.tensor([0, 2]), torch.tensor([2, 3]), 4)
    # row 0: mean of |(1,1)|^2 = 2 and |(0,1)|^2 = 1; row 1: |(0,-2)|^2 = 4
    assert _number(loss) == pytest.approx((1.5 + 4) / 2)
    loss.backward()
    assert codebook.grad is not None
    # d/de of each distance is 2 (e - x), over 2 codes and 2 rows; over 1 code and 2 rows
    assert codebook.grad.tolist() == [[-0.5, -0.5], [0.0, -0.5], [0.0, 2.0]]


def test_nearest_code_is_the_nearest_and_the_first_of_equals() -> None:
    torch.manual_seed(0)
    x, codebook = torch.randn(500, 4), torch.randn(60, 4)
    distance = ((x.double().unsqueeze(1) - codebook.double()) ** 2).sum(2)
    assert torch.equal(nearest_code(x, codebook), distance.argmin(1))
    twins = torch.tensor([[5.0, 5.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    assert nearest_code(torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 6.0]]), twins).tolist() == [
        1,
        1,
        0,
    ]


STATE, ROWS, STEPS = 5, 12, 3
WEIGHTS = Pretrain(hidden_size=6, vq_weight=0.3, commitment_weight=0.7, coverage_weight=0.2)


class _Case:
    """A small VQ-VAE in double precision, a batch, and the parts of its loss computed here."""

    def __init__(self, coverage: str) -> None:
        torch.manual_seed(1)
        settings = {"coverage": coverage, "n_codes": 7, "code_dim": 2, "n_classes": 2}
        self.network = VQVAE(STATE, Representation.model_validate(settings), WEIGHTS).double()
        with torch.no_grad():
            list(self.network.encoder.parameters())[-2].mul_(
                10
            )  # so that the encodings need several codes
        self.state = torch.randn(ROWS, STATE, dtype=torch.float64)
        self.step = torch.arange(ROWS) % STEPS
        self.classes = torch.arange(ROWS) // 6
        self.loss = self.network.loss(self.state, self.step, STEPS, self.classes)
        self.x = self.network.encoder(self.state)
        self.index = nearest_code(self.x, self.network.codebook)
        self.code = self.network.codebook.detach()[self.index]
        assert len(set(self.index.tolist())) > 1

    def gradient(self, term: str, module: nn.Module | None) -> list[Tensor | None]:
        """Of a term, to a module's weights, or to the codebook (None)."""
        weights = [self.network.codebook] if module is None else list(module.parameters())
        return list(
            torch.autograd.grad(
                getattr(self.loss, term), weights, retain_graph=True, allow_unused=True
            )
        )

    def encoder_gradient(self, of_x: Tensor) -> list[Tensor]:
        """What a gradient with respect to x becomes in the encoder's weights."""
        weights = list(self.network.encoder.parameters())
        return list(torch.autograd.grad(self.x, weights, of_x, retain_graph=True))


def _close(found: list[Tensor | None], expected: list[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a is not None
        torch.testing.assert_close(a, b)
        assert b.abs().sum() > 0


def _nothing(found: list[Tensor | None]) -> None:
    assert all(a is None or not a.any() for a in found)


def test_reconstruction_goes_straight_through_to_the_encoder() -> None:
    case = _Case("time")
    code = case.code.clone().requires_grad_()
    error = ((case.network.decoder(code) - case.state) ** 2).mean()
    assert _number(case.loss.reconstruction) == pytest.approx(_number(error))
    of_code, *of_decoder = torch.autograd.grad(error, [code, *case.network.decoder.parameters()])
    _close(case.gradient("reconstruction", case.network.encoder), case.encoder_gradient(of_code))
    _close(case.gradient("reconstruction", case.network.decoder), of_decoder)
    _nothing(case.gradient("reconstruction", None))


def test_vq_term_moves_codes_alone() -> None:
    case = _Case("time")
    distance = (case.x - case.code) ** 2
    assert _number(case.loss.vq) == pytest.approx(_number(distance.sum(1).mean()))
    expected = torch.zeros_like(case.network.codebook)
    expected.index_add_(0, case.index, 2 * (case.code - case.x.detach()) / ROWS)
    _close(case.gradient("vq", None), [expected])
    _nothing(case.gradient("vq", case.network.encoder))
    _nothing(case.gradient("vq", case.network.decoder))


def test_commitment_term_moves_the_encoder_alone() -> None:
    case = _Case("time")
    assert _number(case.loss.commitment) == pytest.approx(_number(case.loss.vq))
    of_x = 2 * (case.x.detach() - case.code) / ROWS
    _close(case.gradient("commitment", case.network.encoder), case.encoder_gradient(of_x))
    _nothing(case.gradient("commitment", None))
    _nothing(case.gradient("commitment", case.network.decoder))


@pytest.mark.parametrize("coverage", ["time", "time_class"])
def test_coverage_term_moves_the_codes_of_its_index_set(coverage: str) -> None:
    case = _Case(coverage)
    n_own = 7 if coverage == "time" else 3
    codebook = case.network.codebook.detach()
    expected, total = torch.zeros_like(codebook), 0.0
    for x, step, label in zip(case.x.detach(), case.step, case.classes, strict=True):
        first = 0 if coverage == "time" else int(label) * n_own
        codes = range(n_own * int(step) // STEPS, n_own * (int(step) + 1) // STEPS)
        for j in codes:
            difference = codebook[first + j] - x
            total += float((difference**2).sum()) / len(codes) / ROWS
            expected[first + j] += 2 * difference / len(codes) / ROWS
    assert _number(case.loss.coverage) == pytest.approx(total)
    _close(case.gradient("coverage", None), [expected])
    _nothing(case.gradient("coverage", case.network.encoder))
    _nothing(case.gradient("coverage", case.network.decoder))


@pytest.mark.parametrize("coverage", ["none", "time", "time_class"])
def test_total_is_the_weighted_sum(coverage: str) -> None:
    loss = _Case(coverage).loss
    expected = loss.reconstruction + 0.3 * loss.vq + 0.7 * loss.commitment + 0.2 * loss.coverage
    assert _number(loss.total) == pytest.approx(_number(expected))
    assert (_number(loss.coverage) == 0.0) == (coverage == "none")


def test_only_class_coverage_reads_the_classes() -> None:
    for coverage, differs in (("none", False), ("time", False), ("time_class", True)):
        case = _Case(coverage)
        other = case.network.loss(case.state, case.step, STEPS, 1 - case.classes)
        assert (_number(other.total) != _number(case.loss.total)) == differs


def test_codebook_starts_in_the_unit_interval() -> None:
    codebook = VQVAE(3, Representation(n_codes=500), Pretrain()).codebook.detach()
    assert codebook.shape == (500, 4)
    assert 0 <= float(codebook.min()) < 0.05 and 0.95 < float(codebook.max()) < 1


def test_training_brings_states_back() -> None:
    torch.manual_seed(3)
    network = VQVAE(4, Representation(n_codes=16, coverage="time"), Pretrain(hidden_size=16))
    centres = torch.randn(3, 4)
    state = centres[torch.arange(60) % 3] + 0.05 * torch.randn(60, 4)
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(150):
        loss = network.loss(state, torch.arange(60) // 3, 20, None)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        losses.append(_number(loss.reconstruction))
    assert losses[-1] < 0.1 * losses[0]
