"""The formulas, against SciPy's own where it has them and against their definitions where it has not."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from engine.ab_tests.statistics import (
    LEVEL,
    Arm,
    is_ripe,
    judge,
    margin,
    p_value,
    sample_ratio_p_value,
    wilson,
)


@pytest.mark.parametrize(("qualified", "leads"), [(0, 10), (1, 10), (5, 10), (10, 10), (37, 1000), (999, 1000)])
def test_interval_of_a_rate_is_wilsons(qualified, leads):
    expected = stats.binomtest(qualified, leads).proportion_ci(LEVEL, method="wilson")

    assert wilson(qualified, leads) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_rate_of_nobody_may_be_anything():
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("observed", "weights"),
    [((510, 490), (50, 50)), ((50, 30, 20), (1, 1, 1)), ((900, 105), (90.5, 9.5)), ((1000, 1200), (1, 1))],
)
def test_evenness_of_a_draw_is_pearsons(observed, weights):
    expected = [sum(observed) * weight / sum(weights) for weight in weights]

    assert sample_ratio_p_value(observed, weights) == pytest.approx(stats.chisquare(observed, expected).pvalue)


def test_few_leads_tell_nothing_about_the_draw():
    assert sample_ratio_p_value((9, 0), (50, 50)) is None
    assert sample_ratio_p_value((95, 4), (95, 5)) is None
    assert sample_ratio_p_value((0, 0), (50, 50)) is None


def test_sequential_interval_is_the_published_one():
    first, second, alpha = Arm(600, 120), Arm(400, 60), 0.05

    # theorem 2.2 with its own names: t, and rho for a sequence that is tightest at 1,000
    t, rho = 1000, math.sqrt((-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / 1000)
    p, q = 121 / 602, 61 / 402
    sigma = math.sqrt(t * (p * (1 - p) / 600 + q * (1 - q) / 400))
    published = sigma * math.sqrt(2 * (t * rho**2 + 1) / (t**2 * rho**2) * math.log(math.sqrt(t * rho**2 + 1) / alpha))
    assert float(margin(first, second, alpha)) == pytest.approx(published)


def test_sequential_p_value_is_where_the_interval_ends_at_zero():
    first, second = Arm(5000, 620), Arm(5000, 500)

    p = float(p_value(first, second))

    assert 0 < p < 0.05
    assert float(margin(first, second, p)) == pytest.approx(first.rate - second.rate)


def test_price_of_looking_at_any_time_is_a_wider_interval():
    first, second = Arm(500, 100), Arm(500, 100)
    at_one_look = stats.norm.ppf(0.975) * math.sqrt(2 * 0.2 * 0.8 / 500)

    assert 1.2 < float(margin(first, second, 0.05)) / at_one_look < 1.6


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Arm(99, 50), Arm(5000, 2500)),
        (Arm(1000, 0), Arm(1000, 19)),
        (Arm(1000, 1000), Arm(1000, 981)),
        (Arm(100, 2), Arm(10_000, 500)),
        (Arm(0, 0), Arm(0, 0)),
    ],
    ids=["few leads", "few qualified", "few others", "few to be expected in the smaller", "nobody"],
)
def test_variants_with_little_to_go_by_are_not_compared(first, second):
    assert not is_ripe(first, second)
    assert judge([first, second]) is None


def test_leader_is_judged_by_the_rival_that_comes_nearest():
    judged = judge([Arm(1000, 100), Arm(1000, 300), Arm(1000, 250)])

    assert (judged.leader, judged.rival) == (1, 2)
    assert judged.difference == pytest.approx(0.05)
    assert judged.low < 0 < judged.confidence < LEVEL < 1


def test_leader_is_sure_as_soon_as_its_interval_leaves_out_zero():
    for qualified in range(100, 200):
        judged = judge([Arm(1000, 100), Arm(1000, qualified)])
        assert (judged.confidence >= LEVEL) is (judged.low >= 0)

    assert judged.confidence > LEVEL


def test_more_variants_share_the_same_error():
    pair = judge([Arm(1000, 150), Arm(1000, 100)])
    three = judge([Arm(1000, 150), Arm(1000, 100), Arm(1000, 20)])

    assert (1 - three.confidence) == pytest.approx(3 * (1 - pair.confidence))
    assert three.high - three.low > pair.high - pair.low


def test_equal_variants_give_no_confidence():
    assert judge([Arm(1000, 100), Arm(1000, 100)]).confidence == 0
