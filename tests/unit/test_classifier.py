"""The classifier of trajectory embeddings."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fakes import SMALL_CLASSIFIER
from trama.networks.classifier import Classifier

ALL = torch.arange(3)


def _clouds(scale: float = 1.0, offset: float = 0.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    label = rng.integers(3, size=240)
    centres = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    points = centres[label] + rng.normal(0, 0.4, (240, 2))
    return torch.tensor(points * scale + offset, dtype=torch.float32), torch.from_numpy(label)


def _fitted(points: Tensor, label: Tensor, seed: int = 0) -> tuple[Classifier, float]:
    torch.manual_seed(seed)
    classifier = Classifier(points.shape[1], 3, SMALL_CLASSIFIER)
    return classifier, classifier.fit(points, label, ALL, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-3, 0.5), (200.0, -1e3)])
def test_learns_clouds_of_any_scale(scale: float, offset: float) -> None:
    classifier, accuracy = _fitted(*_clouds(scale, offset))
    points, label = _clouds(scale, offset, seed=1)
    assert accuracy > 0.98
    assert float((classifier.classify(points, ALL) == label).float().mean()) > 0.97


def test_fit_reports_the_accuracy_it_reached() -> None:
    points, label = _clouds()
    label = torch.where(torch.arange(len(label)) % 4 == 0, (label + 1) % 3, label)
    classifier, accuracy = _fitted(points, label)
    assert accuracy == pytest.approx(
        float((classifier.classify(points, ALL) == label).float().mean())
    )
    assert 0.6 < accuracy < 0.9


def test_repeatable_and_independent_of_the_global_generator() -> None:
    points, label = _clouds()
    first, _ = _fitted(points, label)
    torch.manual_seed(0)
    second = Classifier(2, 3, SMALL_CLASSIFIER)
    torch.manual_seed(99)
    second.fit(points, label, ALL, torch.Generator().manual_seed(0))
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_feature_that_never_moved_does_not_decide() -> None:
    points, label = _clouds()
    points = torch.cat([points, torch.full((len(points), 1), 0.1)], 1)
    classifier, _ = _fitted(points, label)
    moved = points + torch.tensor([0.0, 0.0, 1e-3])
    assert torch.equal(classifier.classify(moved, ALL), classifier.classify(points, ALL))


def test_weights_carry_the_standardising() -> None:
    points, label = _clouds(50.0, 10.0)
    classifier, _ = _fitted(points, label)
    other = Classifier(2, 3, SMALL_CLASSIFIER)
    other.load_state_dict(classifier.state_dict())
    assert torch.equal(other(points), classifier(points))
    assert torch.equal(other.classify(points, ALL), classifier(points).argmax(1))


def test_classes_that_are_not_in_use_are_never_given() -> None:
    points, label = _clouds()
    torch.manual_seed(0)
    classifier = Classifier(2, 5, SMALL_CLASSIFIER)
    in_use, numbers = torch.tensor([0, 2, 4]), torch.tensor([0, 2, 4])[label]
    accuracy = classifier.fit(points, numbers, in_use, torch.Generator().manual_seed(0))
    assert accuracy > 0.98
    assert set(classifier.classify(points, in_use).tolist()) == {0, 2, 4}
    # Without its own class, a cloud is given the next best one.
    fewer = torch.tensor([0, 3, 4])
    with torch.no_grad():
        expected = fewer[classifier(points)[:, fewer].argmax(1)]
    assert torch.equal(classifier.classify(points, fewer), expected)
    assert not (expected == 2).any()
