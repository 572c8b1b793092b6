"""What an experiment finds, and how it says so, of made-up runs."""

import numpy as np
import pytest
import scipy.stats

from trama.reporting import comparisons
from trama.reporting.experiments import Scores

NOISE = np.linspace(0, 0.02, 4)[:, None]


def _told(scores: dict[str, Scores], names: str, **known: object) -> list[str]:
    return comparisons.told(comparisons.comparisons(scores, [*names], **known))  # type: ignore[arg-type]


def test_names_are_told_apart_where_the_intervals_do() -> None:
    by_name = {"a": NOISE + 0.5, "b": NOISE[::-1] + 0.7, "c": NOISE[[1, 3, 0, 2]] + 0.501}
    paragraph, note = _told({"P": {"win_rate": by_name}}, "abc")
    higher, apart = paragraph.split("; ")
    assert higher.startswith("On ``P``, minus ``a``. Win rate: higher for ``b`` 0.20 [")
    assert apart.startswith("not told apart for ``c`` 0.00") and note == comparisons.NOTE
    assert _told({"P": {"ari": {"a": NOISE[:2], "b": NOISE[:2]}}}, "ab") == []
    assert _told({"P": {"win_rate": {"a": NOISE[:1], "b": NOISE[:1]}}}, "ab") == []
    assert _told({}, "ab") == []
    # The first name that has a measure is what the others are set beside.
    without = {name: by_name[name] for name in "bc"}
    beside_a, beside_b, _ = _told({"P": {"win_rate": by_name, "ari": without}}, "abc")
    assert beside_a.startswith("On ``P``, minus ``a``. Win rate: ")
    assert beside_b.startswith("On ``P``, minus ``b``. ARI: lower for ``c`` -0.20 [")


def test_errors_of_other_names_are_none_of_a_difference() -> None:
    rng = np.random.default_rng(1)
    a, b, c = rng.normal(size=(3, 4, 1))
    by_name = {"a": a, "b": b, "c": 9 * c}
    for alike, test in (("bc", scipy.stats.ttest_ind), ("abc", scipy.stats.ttest_rel)):
        scores = {"P": {"win_rate": by_name, "ari": by_name}}
        found = comparisons.comparisons(scores, ["a", "b", "c"], start_alike=alike)
        for each in (each for each in found if each.name == "b"):
            unequal = {"equal_var": False} if test is scipy.stats.ttest_ind else {}
            interval = test(b[:, 0], a[:, 0], **unequal).confidence_interval(0.95)
            assert each.gap[1:3] == pytest.approx((interval.low, interval.high))


def test_a_fallback_without_the_plain_measure_is_set_beside_the_first_one() -> None:
    scores = {"P": {"fallback_win_rate": {"a": NOISE, "b": NOISE + 0.1}}}
    (found,) = comparisons.comparisons(scores, ["a", "b"])
    assert found[:4] == ("P", "fallback_win_rate", "b", "a")
    assert found.gap.value == pytest.approx(0.1)


def test_a_fallback_is_set_beside_the_baseline_and_beside_its_own_play() -> None:
    of_seeds = np.array([0.1, 0.2, 0.3, 0.4])[:, None]
    wins = {"a": of_seeds + 0.2, "b": of_seeds}
    scores = {"P": {"win_rate": wins, "fallback_win_rate": {"b": of_seeds + 0.1 + NOISE}}}
    beside_a, beside_itself, _ = _told(scores, "ab")
    assert "Win rate, fallback: not told apart for ``b`` -0.09 [" in beside_a
    assert beside_itself.startswith(
        "On ``P``, minus the same policies with the classes that they predict. "
        "Win rate, fallback: higher for ``b`` 0.11 ["
    )
    (own,) = (
        each for each in comparisons.comparisons(scores, ["a", "b"]) if each.over == each.name
    )
    gained = 0.1 + NOISE[:, 0]
    half = scipy.stats.t.ppf(0.975, 3) * gained.std(ddof=1) / 2
    assert own.gap[:2] == pytest.approx((0.11, 0.11 - half))


def test_what_a_given_class_brings_is_beside_the_same_policys_predicted_ones() -> None:
    of_seeds = np.array([0.1, 0.2, 0.3, 0.4])[:, None]
    wins = {"a": of_seeds + 0.2, "b": of_seeds, "c": of_seeds}
    given = {"b": of_seeds - 0.1 - NOISE, "c": of_seeds - 0.5 - NOISE}
    scores: dict[str, Scores] = {"P": {"win_rate": wins, "wrong_class_win_rate": given}}
    beside_a, beside_itself, _ = _told(scores, "abc")
    assert "wrong" not in beside_a
    assert beside_itself.startswith(
        "On ``P``, minus the same policies with the classes that they predict. "
        "Wrong class given: lower for ``b`` -0.11 ["
    )
    assert "``c`` -0.51 [" in beside_itself
    # Where that is not measured, names are set beside each other.
    (found,) = comparisons.comparisons({"P": {"wrong_class_win_rate": given}}, [*"abc"])
    assert found[:4] == ("P", "wrong_class_win_rate", "c", "b")


def test_names_may_have_a_baseline_of_their_own() -> None:
    by_name = {name: NOISE + more for name, more in zip("abcd", (0, 0.5, 0.2, 0.9), strict=True)}
    scores = {"P": {"win_rate": by_name, "ari": {"b": NOISE + 0.1, "d": NOISE + 0.7}}}
    found = comparisons.comparisons(scores, [*"abcd"], baselines={"d": "c", "c": "x"})
    assert [(each.measure, each.name, each.over) for each in found] == [
        ("win_rate", "b", "a"),
        ("win_rate", "c", "a"),  # its baseline is not compared
        ("win_rate", "d", "c"),
        ("ari", "d", "b"),  # its baseline has no ARI
    ]
    assert [each.gap.value for each in found] == pytest.approx([0.5, 0.2, 0.7, 0.6])


def test_names_that_are_not_told_apart_share_the_span_of_their_intervals() -> None:
    noise = np.array([-0.1, 0.0, 0.1])[:, None]
    by_name = {"a": noise + 0.5, "b": noise + 0.6, "c": noise + 0.4}
    paragraph, _ = _told({"P": {"silhouette": by_name}}, "abc")
    half = scipy.stats.t.ppf(0.975, 4) * np.sqrt(2 * 0.01 / 3)
    assert paragraph.endswith(
        "Silhouette: not told apart for ``b`` 0.10, ``c`` -0.10, "
        f"within [{-0.1 - half:.2f}, {0.1 + half:.2f}]."
    )
    # Runs without any spread have no interval, and tell nothing of what others would be.
    equal = {"a": np.full((3, 1), 0.25), "b": np.full((3, 1), 0.75)}
    paragraph, _ = _told({"P": {"win_rate": equal}}, "ab")
    assert paragraph.endswith("Win rate: higher for ``b`` 0.50.")


def test_problems_are_compared_in_gains_and_in_what_is_measured_of_a_name() -> None:
    near, hidden = (
        {name: base + NOISE for name, base in zip("abc", bases, strict=True)}
        for bases in ((0.6, 0.7, 0.6), (0.3, 0.7, 0.3))
    )
    of_near = {"win_rate": near, "ari": near, "ood_win_rate": near}
    scores = {"near": of_near, "hidden": {**of_near, "win_rate": hidden, "ari": hidden}}
    gains, levels, _ = _told(scores, "abc")[-3:]
    assert gains.startswith(
        "On ``hidden``, minus ``a``, and minus the same on ``near``. "
        "Win rate: higher for ``b`` 0.30 ["
    )
    assert "not told apart for ``c``" in gains and "ARI" not in gains
    assert levels.startswith(
        "On ``hidden``, minus the same on ``near``. ARI: lower for ``a`` -0.30"
    )
    assert "not told apart for ``b`` 0.00" in levels and "nseen" not in levels
    alone = {problem: {"ari": {"a": scores[problem]["ari"]["a"]}} for problem in scores}
    paragraph, _ = _told(alone, "a")
    assert paragraph.startswith("On ``hidden``, minus the same on ``near``. ARI: lower for ``a``")


def test_gains_of_names_that_start_alike_are_those_of_each_seed() -> None:
    of_seeds = np.array([0.1, 0.5, 0.9])[:, None]
    first = {"a": of_seeds, "b": of_seeds + 0.1 + NOISE[:3]}
    second = {"a": of_seeds[::-1], "b": of_seeds[::-1] + 0.3 + NOISE[:3]}
    scores = {"P": {"win_rate": first}, "Q": {"win_rate": second}}
    *_, paragraph, _ = _told(scores, "ab", start_alike="ab")
    assert "Win rate: higher for ``b`` 0.20 [" in paragraph
    *_, paragraph, _ = _told(scores, "ab")
    assert "Win rate: not told apart for ``b`` 0.20 [" in paragraph


def test_what_seeds_have_in_common_tells_no_names_apart_and_hides_no_difference() -> None:
    of_seeds = np.array([0.3, 0.5, 0.7])[:, None]
    small = np.array([[0.01, -0.01, 0.0], [-0.01, 0.0, 0.01], [0.0, 0.01, -0.01]])
    by_name = {
        name: of_seeds + more + own[:, None]
        for name, more, own in zip("abc", (0.0, 0.1, 0.0), small, strict=True)
    }
    scores = {"P": {"win_rate": by_name, "ari": by_name}}
    paragraph, _ = _told(scores, "abc", start_alike="abc")
    assert paragraph.count("higher for ``b`` 0.10 [") == 2  # of both measures
    assert paragraph.count("not told apart for ``c``") == 2
    # Where the runs of a seed have nothing in common, or those of the base have not.
    for alike in ((), "bc"):
        paragraph, _ = _told(scores, "abc", start_alike=alike)
        assert "Win rate: not told apart for ``b`` 0.10, ``c`` 0.00" in paragraph


@pytest.mark.parametrize(
    ("names", "alike"),
    [("ab", True), ("abc", True), ("abcde", True), ("ab", False), ("abcde", False)],
)
def test_runs_that_do_not_differ_are_seldom_told_apart(names: str, alike: bool) -> None:
    """Neither are those whose tasks go together, as the tasks of a run do, nor whose seeds do."""
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(200):
        of_seeds = 3.0 * alike * rng.normal(size=(3, 1))
        of_runs = of_seeds + rng.normal(size=(len(names), 3, 1))
        runs = of_runs + 0.5 * rng.normal(size=(len(names), 3, 10))
        scores: dict[str, Scores] = {"P": {"win_rate": dict(zip(names, runs, strict=True))}}
        found = comparisons.comparisons(scores, [*names], start_alike=names if alike else "")
        (gap,) = (each.gap for each in found if each.name == "b")
        assert gap.low is not None and gap.high is not None
        told += gap.low > 0 or gap.high < 0
    assert told <= 20
