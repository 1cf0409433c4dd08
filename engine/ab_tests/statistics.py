"""The statistics of an A/B test: pure functions of counts, which may also be NumPy arrays of counts.

The unit is the lead, for leads are what was drawn: several conversations with one person are no independent evidence.
A lead counts from the moment it is exposed and is a success once a conversation qualified it, so a variant that loses
people on the way cannot look better for having fewer of them. Rates are fractions of 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import chdtrc, ndtri

LEVEL = 0.95
SRM_ALARM = 0.001  # below it the draw is not what the weights say, or leads were lost on the way
LEAST_EXPECTED = 5  # leads in every variant before Pearson's test may be trusted: Cochran's rule
LEAST_LEADS = 100  # in each of two variants before they are compared, and
LEAST_OUTCOMES = 10  # of each kind to be expected in the smaller one; with less, the normal limit is too far away
_TIGHTEST_AT = 1000  # leads in two variants at which the sequential interval is at its narrowest


class Arm(NamedTuple):
    """What is known of a variant: how many leads it was given and how many of them qualified."""

    leads: Any
    qualified: Any

    @property
    def rate(self) -> Any:
        """The fraction that qualified, 0 without a lead."""
        return self.qualified / np.maximum(self.leads, 1)


class Judgement(NamedTuple):
    """The variant that leads, the one that comes nearest to it by the evidence, and how sure it is that it is better.

    difference, low, high: of their rates, with an interval that holds at every look, for all pairs at once.
    confidence: the highest level at which the leader is still better than all others.
    """

    leader: int
    rival: int
    difference: float
    low: float
    high: float
    confidence: float


def wilson(qualified: float, leads: float) -> tuple[float, float]:
    """An interval for a rate, at one look, 95 %; from 0 to 1 without a lead.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if not leads:
        return 0.0, 1.0
    z = float(ndtri((1 + LEVEL) / 2))
    rate, shrunk = qualified / leads, 1 + z * z / leads
    centre = (rate + z * z / (2 * leads)) / shrunk
    half = z / shrunk * math.sqrt(rate * (1 - rate) / leads + z * z / (4 * leads * leads))
    return max(0.0, centre - half), min(1.0, centre + half)


def sample_ratio_p_value(observed: Sequence[int], weights: Sequence[float]) -> float | None:
    """Probability (0-1) of counts at least this uneven if draws follow the weights; below 0.001 distrust the test.

    observed: leads per variant. None while too few are expected in some variant. Source: Pearson's chi-square, k-1
    degrees of freedom; as a check of experiments: Fabijan et al., "Diagnosing sample ratio mismatch", KDD 2019.
    """
    total = sum(observed)
    expected = [total * weight / sum(weights) for weight in weights]
    if min(expected) < LEAST_EXPECTED:
        return None
    statistic = sum((seen - wanted) ** 2 / wanted for seen, wanted in zip(observed, expected, strict=True))
    return float(chdtrc(len(observed) - 1, statistic))


def is_ripe(first: Arm, second: Arm) -> Any:
    """Whether two variants have leads and outcomes enough to be compared by what is true of many."""
    smaller = np.minimum(first.leads, second.leads)
    pooled = (first.qualified + second.qualified) / np.maximum(first.leads + second.leads, 1)
    outcomes = smaller * np.minimum(pooled, 1 - pooled)
    return (smaller >= LEAST_LEADS) & (outcomes >= LEAST_OUTCOMES)


def margin(first: Arm, second: Arm, alpha: float) -> Any:
    """Half the width of an interval for the difference of two rates that holds at every look, with error `alpha`.

    An asymptotic confidence sequence: with n leads, a variance v of the estimate times n, and rho to choose,
    sqrt(v * 2(n rho² + 1) / (n² rho²) * log(sqrt(n rho² + 1) / alpha)). Source: Waudby-Smith, Arbour, Sinha, Kennedy
    and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52 (2024),
    theorem 2.2, for the difference of means under randomisation as in their section 3; rho² by their formula for the n
    at which the sequence is to be tightest.
    """
    n, precision = _precision(first, second)
    return np.sqrt(2 / precision * np.log(np.sqrt(n * _RHO2 + 1) / alpha))


def p_value(first: Arm, second: Arm) -> Any:
    """The smallest error at which `margin` tells the two rates apart: holds at every look, too."""
    n, precision = _precision(first, second)
    return np.minimum(1, np.sqrt(n * _RHO2 + 1) * np.exp(-precision * (first.rate - second.rate) ** 2 / 2))


def _precision(first: Arm, second: Arm) -> tuple[Any, Any]:
    """n, and what the squared difference is weighed with: n² rho² / (v (n rho² + 1)).

    Rates get one success and one failure on top before their variance is taken, or a variant with none of either would
    seem certain.
    """
    n = np.maximum(first.leads + second.leads, 1.0)
    variance = n * (_error(first) + _error(second))
    return n, n**2 * _RHO2 / (variance * (n * _RHO2 + 1))


def _error(arm: Arm) -> Any:
    rate = (arm.qualified + 1) / (arm.leads + 2)
    return rate * (1 - rate) / np.maximum(arm.leads, 1)


def _rho2(tightest_at: float) -> float:
    doubled = -2 * math.log(1 - LEVEL)
    return (doubled + math.log(doubled) + 1) / tightest_at


_RHO2 = _rho2(_TIGHTEST_AT)


def judge(arms: Sequence[Arm]) -> Judgement | None:
    """Which variant leads and how sure that is; None while it cannot be compared with all others.

    With k variants the error is shared out over their k(k-1)/2 pairs (Bonferroni), so all intervals hold at once.
    """
    pairs = len(arms) * (len(arms) - 1) // 2
    leader = max(range(len(arms)), key=lambda index: float(arms[index].rate))
    others = [index for index in range(len(arms)) if index != leader]
    if not all(is_ripe(arms[leader], arms[index]) for index in others):
        return None
    errors = {index: float(p_value(arms[leader], arms[index])) for index in others}
    rival = max(others, key=errors.__getitem__)
    difference = float(arms[leader].rate - arms[rival].rate)
    half = float(margin(arms[leader], arms[rival], (1 - LEVEL) / pairs))
    confidence = 1 - min(1.0, pairs * errors[rival])
    return Judgement(leader, rival, difference, difference - half, difference + half, confidence)
