"""The statistics agree with scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tunesmith.compare.statistics import _binned, bootstrap, importance, numbers, paired, spread


@pytest.mark.parametrize("pairs", [2, 3, 8, 40])
def test_paired_t_test_agrees_with_scipy(pairs):
    rng = np.random.default_rng(pairs)
    one, other = rng.normal(0.8, 0.02, pairs), rng.normal(0.79, 0.02, pairs)
    ours, theirs = paired(one, other), stats.ttest_rel(one, other)
    interval = theirs.confidence_interval(0.95)
    assert (ours.t, ours.p) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)
    assert ours.interval == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert (ours.difference, ours.pairs) == (pytest.approx(np.mean(one - other)), pairs)


@pytest.mark.parametrize("count", [5, 30])
def test_bootstrap_agrees_with_scipy(count):
    """To 3 % of the width: both are random, and 10,000 resamples leave about 1 %."""
    values = np.random.default_rng(count).normal(0.01, 0.02, count)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    width = theirs.high - theirs.low
    assert bootstrap(values) == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)
    assert bootstrap(values) == bootstrap(values)


def test_pairs_that_do_not_differ_and_that_always_differ_alike():
    same = paired(np.array([0.5, 0.75, 1.0]), np.array([0.5, 0.75, 1.0]))
    assert (same.p, same.interval, same.bootstrap) == (1, (0, 0), (0, 0))
    always = paired(np.array([0.75, 1.0, 0.5]), np.array([0.5, 0.75, 0.25]))
    assert (always.t, always.p, always.interval) == (np.inf, 0, (0.25, 0.25))


def test_the_sign_of_t_is_that_of_the_difference():
    low, high = np.array([0.5, 0.75, 0.25]), np.array([0.75, 1.0, 0.5])
    always = paired(low, high)
    assert (always.t, always.p, always.difference, always.interval) == (-np.inf, 0, -0.25, (-0.25, -0.25))
    assert paired(high, low).t == np.inf
    same = paired(low, low)
    assert (same.t, same.p, same.difference) == (0, 1, 0)
    assert paired(low, np.array([0.75, 1.0, 0.75])).t < 0


def test_spread_is_that_of_a_sample():
    values = np.array([0.1, 0.4, 0.2])
    assert spread(values) == pytest.approx(stats.tstd(values))
    assert np.isnan(spread(values[:1]))


def test_what_one_key_explains_follows_from_the_f_test():
    """Epsilon squared is (F - 1) / (F + within / between degrees of freedom)."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(mean, 1, 6) for mean in (0, 1, 2)]
    f = stats.f_oneway(*parts).statistic
    labels = [word for word in "xyz" for _ in range(6)]
    assert importance(np.concatenate(parts), {"key": labels}) == {"key": pytest.approx((f - 1) / (f + 15 / 2))}


def test_a_small_but_steady_effect_shows_beside_a_large_one():
    rng = np.random.default_rng(0)
    large, small = [str(i % 3) for i in range(24)], [str(i // 3 % 2) for i in range(24)]
    values = np.array([float(a) + 0.3 * float(b) for a, b in zip(large, small, strict=True)]) + rng.normal(0, 0.01, 24)
    found = importance(values, {"small": small, "large": large})
    assert list(found) == ["large", "small"]
    assert (found["large"], found["small"]) == pytest.approx((0.967, 0.033), abs=0.005)


def test_keys_that_always_change_together_explain_the_same():
    labels = [str(i % 3) for i in range(12)]
    found = importance(np.array([float(x) for x in labels]) + np.arange(12) / 1e3, {"a": labels, "b": labels})
    assert found["a"] == pytest.approx(found["b"]) and found["a"] > 0.99


def test_chance_explains_nothing_on_average():
    rng = np.random.default_rng(0)
    labels = [str(i % 4) for i in range(24)]
    shares = [importance(rng.normal(size=24), {"key": labels})["key"] for _ in range(300)]
    assert np.mean(shares) < 0.06  # eta squared would say 13 %
    rates = [f"{10 ** rng.uniform(-5, -1):.6g}" for _ in range(40)]  # each occurs once
    assert importance(rng.normal(size=40), {"rate": rates})["rate"] < 0.2


def test_a_numeric_key_with_many_values_can_explain():
    values = np.linspace(0, 1, 40)
    assert importance(values, {"key": [f"{v:.3f}" for v in values]})["key"] > 0.85


def test_what_cannot_be_told_is_left_out():
    words = {"word": list("abcdef"), "key": list("xxyyxy")}  # words that occur once tell nothing
    assert list(importance(np.arange(6.0), words)) == ["key"]
    assert importance(np.ones(4), {"key": list("abab")}) == {}
    assert importance(np.arange(3.0), {"a": list("xyy"), "b": list("xxy")}) == {}  # as many parameters as runs


def test_no_key_explains_less_than_nothing():
    """The means of the parts are equal: less than chance gives, so the estimate itself is below 0."""
    values = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    found = importance(values, {"nothing": list("aabbccdd"), "all": list("abababab")})
    assert found == {"all": pytest.approx(1.0), "nothing": 0.0}
    assert importance(values, {"nothing": list("aabbccdd")}) == {"nothing": 0.0}


def test_numbers_are_cut_into_parts_of_equal_counts_and_a_bound_belongs_to_the_part_above():
    assert _binned([str(i) for i in range(8)]).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert _binned([str(i) for i in range(5)]).tolist() == [0, 1, 2, 3, 3]  # the bounds are 1, 2 and 3
    assert _binned(list("1234") * 2).tolist() == list("1234") * 2
    assert _binned(list("abcdef")).tolist() == list("abcdef")


def test_numbers():
    assert numbers(["1", "2e-3"]).tolist() == [1, 0.002]
    assert numbers(["1", "x"]) is None and numbers(["1", "nan"]) is None
