"""What the statistics promise, over thousands of tests played with the very functions that results are made of.

Whoever plays a test here looks after every single lead and stops at the first winner: no habit of a person is worse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from engine.ab_tests.drawing import draw
from engine.ab_tests.statistics import LEVEL, SRM_ALARM, Arm, is_ripe, p_value, sample_ratio_p_value
from storage.ids import new_id

_AT_ONCE = 100  # tests, for they must fit into memory


@dataclass(frozen=True)
class World:
    """What is true: how often each variant qualifies a lead, and how many leads come by meanwhile, on average."""

    rates: Sequence[float]
    weights: Sequence[float] = (50, 50)
    delay: float = 0


def winners(world: World, *, tests: int, leads: int, seed: int) -> Iterator[tuple[int, int]]:
    """Of each test that finds a winner: which one, and after how many leads."""
    random = np.random.default_rng(seed)
    for _ in range(tests // _AT_ONCE):
        wins = _wins(_played(world, leads, random))
        for test in range(_AT_ONCE):
            found = [(int(np.argmax(row)) + 1, variant) for variant, row in enumerate(wins[:, test]) if row.any()]
            if found:
                after, variant = min(found)
                yield variant, after


def _wins(arms: Sequence[Arm]) -> Any:
    """Whether a variant is a winner, by variant, test and lead: it is better than each other, as `judge` has it."""
    pairs = list(combinations(range(len(arms)), 2))
    wins = np.ones((len(arms), *arms[0].leads.shape), dtype=bool)
    for a, b in pairs:
        is_sure = is_ripe(arms[a], arms[b]) & (len(pairs) * p_value(arms[a], arms[b]) <= 1 - LEVEL)
        wins[a] &= is_sure & (arms[a].rate > arms[b].rate)
        wins[b] &= is_sure & (arms[a].rate < arms[b].rate)
    return wins


def _played(world: World, leads: int, random: Any) -> list[Arm]:
    """The counts of each variant after each lead, in many tests at once."""
    shape = (_AT_ONCE, leads)
    variant = np.searchsorted(np.cumsum(world.weights) / np.sum(world.weights), random.random(shape), side="right")
    qualifies = random.random(shape) < np.asarray(world.rates)[variant]
    later = random.geometric(1 / world.delay, shape) if world.delay else np.zeros(shape, dtype=int)
    known_at = np.arange(leads) + later
    row = np.arange(_AT_ONCE)[:, None] * leads
    arms = []
    for index in range(len(world.rates)):
        is_known = qualifies & (variant == index) & (known_at < leads)
        known = np.bincount((row + known_at)[is_known], minlength=_AT_ONCE * leads).reshape(shape)
        arms.append(Arm((variant == index).cumsum(axis=1), known.cumsum(axis=1)))
    return arms


class TestNoDifference:
    """A/A: at most 5 in 100 tests may ever name a winner, whatever the rate, the weights and the delay."""

    @pytest.mark.parametrize(
        ("world", "leads"),
        [
            (World([0.5, 0.5]), 2000),
            (World([0.1, 0.1]), 2000),
            (World([0.02, 0.02]), 4000),
            (World([0.95, 0.95], weights=[90, 10]), 3000),
            (World([0.05, 0.05], weights=[90.5, 9.5]), 3000),
            (World([0.2, 0.2], delay=300), 2000),
            (World([0.2, 0.2, 0.2], weights=[60, 20, 20]), 2000),
        ],
        ids=["half", "tenth", "rare", "nearly all", "uneven weights", "verdicts come late", "three variants"],
    )
    def test_who_looks_all_the_time_is_seldom_fooled(self, world, leads):
        fooled = sum(1 for _ in winners(world, tests=2000, leads=leads, seed=20260314))

        assert fooled / 2000 <= 0.05

    def test_looking_at_an_ordinary_interval_all_the_time_would_fool_many(self):
        """The measure measures: what most would do instead fails it."""
        random = np.random.default_rng(20260314)
        fooled = 0
        for _ in range(5):
            a, b = _played(World([0.2, 0.2]), 3000, random)
            error = np.sqrt(0.2 * 0.8 * (1 / np.maximum(a.leads, 1) + 1 / np.maximum(b.leads, 1)))
            is_sure = is_ripe(a, b) & (np.abs(a.rate - b.rate) > 1.96 * error)
            fooled += int(is_sure.any(axis=1).sum())

        assert fooled / 500 > 0.15


class TestRealDifference:
    def test_better_variant_is_found_and_sooner_than_at_a_fixed_size(self):
        """10 against 15 %: a test of fixed size needs 1,366 leads for power 0.8, and may be looked at once."""
        found = list(winners(World([0.10, 0.15]), tests=2000, leads=3000, seed=20260315))

        assert sum(winner == 0 for winner, _ in found) / 2000 < 0.005
        assert len(found) / 2000 > 0.9
        assert np.median([leads for _, leads in found]) < 1800

    def test_power_where_a_test_of_fixed_size_would_have_four_fifths(self):
        found = list(winners(World([0.10, 0.15]), tests=2000, leads=1366, seed=20260316))

        assert 0.40 < len(found) / 2000 < 0.80

    def test_best_of_three_is_found(self):
        found = list(winners(World([0.1, 0.1, 0.2], weights=[1, 1, 1]), tests=500, leads=3000, seed=20260317))

        assert {winner for winner, _ in found} == {2}
        assert len(found) / 500 > 0.9


class TestDraw:
    WEIGHTS = (50.5, 30, 19.5)

    def test_shares_are_the_weights(self):
        counts = np.bincount([draw("665f1c2e9b1d4a0012ab34d9", n, self.WEIGHTS) for n in range(1, 100_001)])

        assert counts / 1000 == pytest.approx(self.WEIGHTS, abs=0.5)

    def test_alarm_about_the_draw_is_as_rare_as_it_says(self):
        random = np.random.default_rng(20260318)
        counts = random.multinomial(2000, np.asarray(self.WEIGHTS) / 100, 20_000)

        alarms = sum(sample_ratio_p_value(list(map(int, row)), self.WEIGHTS) < SRM_ALARM for row in counts)

        assert stats.binomtest(alarms, 20_000, SRM_ALARM).pvalue > 0.001

    def test_alarm_stays_silent_over_draws_of_many_tests(self):
        alarms = 0
        for _ in range(200):
            oid = new_id()
            counts = np.bincount([draw(oid, n, (1, 3)) for n in range(1, 501)], minlength=2)
            alarms += sample_ratio_p_value(list(map(int, counts)), (1, 3)) < SRM_ALARM

        assert alarms <= 3

    def test_alarm_hears_of_leads_that_get_lost(self):
        """One in ten leads of a variant is lost: of 5,000 in all nearly every test notices."""
        random = np.random.default_rng(20260319)
        counts = random.multinomial(5000, [10 / 19, 9 / 19], 500)

        heard = sum(sample_ratio_p_value(list(map(int, row)), (50, 50)) < SRM_ALARM for row in counts)

        assert heard / 500 > 0.6

    def test_two_tests_draw_independently(self):
        tests = ["665f1c2e9b1d4a0012ab34d9", "665f1c2e9b1d4a0012ab34da"]
        both = [tuple(draw(test, number, (50, 50)) for test in tests) for number in range(1, 20_001)]

        table = [[both.count((a, b)) for b in (0, 1)] for a in (0, 1)]
        assert stats.chi2_contingency(table).pvalue > 0.001
