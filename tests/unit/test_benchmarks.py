"""The benchmark's reference learner learns the same, and its harness measures and reports."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import report
from benchmarks.harness import Effort, Figure, figure, measure_group, paired, repeatedly
from benchmarks.learner import compare
from benchmarks.reference_learner import (
    PaddedBatch,
    PaddedReplay,
    ReferenceLearner,
    padded_vqvae_loss,
)
from benchmarks.subjects import MIXERS, Sizes, make_learner, random_replay, representation
from fakes import CPU, small_train
from trama.config.model import Pretrain
from trama.networks.vqvae import VQVAE

SIZES = Sizes(n_agents=2, obs_size=6, n_actions=4, shortest=1, longest=9)
TINY = Effort(repeats=1, updates=1, seconds=0.01)


@pytest.mark.parametrize("algorithm", MIXERS)
@pytest.mark.parametrize("td_lambda", [0.0, 0.6])
def test_the_reference_learner_has_the_same_losses_and_gradients(
    algorithm: str, td_lambda: float
) -> None:
    config = small_train(td_lambda=td_lambda)
    learner = make_learner(algorithm, SIZES.spec, config)
    with torch.no_grad():  # targets of their own
        for parameter in [*learner.target_policy.parameters(), *learner.target_mixer.parameters()]:
            parameter.add_(0.05)
    reference = ReferenceLearner(learner)
    replay = random_replay(SIZES, 40)
    replay.label[replay.finished[:5]] = -1  # some have no label yet
    batch = replay.batch(replay.finished, CPU)
    for _ in range(3):
        ours, theirs = learner.update(batch), reference.update(batch)
        assert set(ours) == set(theirs)
        for name, value in ours.items():
            assert torch.allclose(value, theirs[name], rtol=1e-4, atol=1e-6), name
        pairs = zip(
            [*learner.policy.parameters(), *learner.mixer.parameters()],
            [*reference.policy.parameters(), *reference.mixer.parameters()],
            strict=True,
        )
        for mine, other in pairs:
            assert (mine.grad is None) == (other.grad is None)
            if mine.grad is not None and other.grad is not None:
                assert torch.allclose(mine.grad, other.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("coverage", ["time", "time_class"])
def test_the_padded_vqvae_loss_is_the_same(coverage: str) -> None:
    given = representation().model_copy(update={"coverage": coverage})
    torch.manual_seed(0)
    vqvae = VQVAE(SIZES.spec.state_size, given, Pretrain(hidden_size=8))
    replay = random_replay(SIZES, 20)
    batch = replay.batch(replay.finished, CPU)
    packing, padded = batch.packing, PaddedBatch.of(batch)
    current = packing.current
    classes = batch.label[packing.episode[current]]
    packed = vqvae.loss(batch.state[current], packing.step[current], packing.n_steps - 1, classes)
    other = padded_vqvae_loss(vqvae, padded.state[:, :-1], padded.acted[:, :-1], batch.label)
    assert torch.allclose(packed.total, other, rtol=1e-4)


def test_padded_batches_are_cut_at_their_longest_episode() -> None:
    replay = random_replay(SIZES, 40)
    padded = PaddedReplay(PaddedBatch.of(replay.batch(replay.finished, CPU)))
    batch = padded.sample(3, np.random.default_rng(0))
    assert batch.obs.shape[1] == int(batch.acted.sum(1).max()) + 1
    assert len(batch.label) == 3


def test_pairs_alternate() -> None:
    order: list[str] = []

    def note(name: str) -> float:
        order.append(name)
        return float(len(order))

    mine, other = repeatedly(lambda: note("ours"), lambda: note("reference"), 3)
    assert order == ["ours", "reference", "reference", "ours", "ours", "reference"]
    assert mine == [1.0, 4.0, 5.0] and other == [2.0, 3.0, 6.0]


def test_gain_and_target_know_what_is_better() -> None:
    rate = paired(
        "g", "n", "updates/s", lambda: 8.0, TINY, reference=("r", lambda: 2.0), target=9.0
    )
    assert rate.gain == 4.0 and rate.met is False
    seconds = figure("g", "n", "s", ([1.0, 3.0, 2.0], [8.0, 4.0, 4.0]), target=2.0)
    assert (seconds.value, seconds.low, seconds.high) == (2.0, 1.0, 3.0)
    assert seconds.gain == 2.0 and seconds.met is True


def test_results_and_table(tmp_path: Path) -> None:
    results, page = tmp_path / "results.json", tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    first = Figure("learner", "qmix", "updates/s", 20.0, 19.0, 21.0, "loop", 2.0, 2.0, 2.0, 10.0)
    other = Figure("startup", "start", "s", 3.0, 3.0, 3.0)
    report.write_results(results, report.describe_run(), [other])
    report.write_results(results, report.describe_run(), [first])
    report.write_results(results, report.describe_run(), [Figure(**vars(other) | {"value": 5.0})])
    kept = json.loads(results.read_text())["figures"]
    assert [(f["name"], f["value"]) for f in kept] == [("qmix", 20.0), ("start", 5.0)]
    report.update_page(page, results)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| qmix | 20 updates/s (19 to 21) | 2: loop | 10 x | 10, met |" in text


def test_a_comparison_of_learners_runs_on_the_smallest_scale() -> None:
    found = compare("trama", SIZES, 4, TINY, None)
    assert found.value > 0 and found.reference_value is not None and found.reference_value > 0


def test_a_failed_group_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"No module named 'benchmarks\.nothing'"):
        measure_group("nothing", TINY)
