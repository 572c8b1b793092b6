"""Derived seeds: distinct, stable, and of 63 bits."""

import itertools

from trama.seeds import derive_seed


def test_one_known_value() -> None:
    assert derive_seed(0, "train", "SurComb3", 1) == 3449636823697479355


def test_distinct_purposes() -> None:
    parts: list[str | int] = [0, 1, 12, "1", "2", "a", "b", "ab", "a, b", ""]
    purposes = [p for n in range(4) for p in itertools.product(*[parts] * n)]
    seeds = {derive_seed(study, *purpose) for study in (0, 1) for purpose in purposes}
    assert len(seeds) == 2 * len(purposes)


def test_range() -> None:
    seeds = [derive_seed(number, "x") for number in range(500)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62
