"""The canary's two-sample test: wrong verdicts are rare however often one looks, right ones come."""

import numpy as np
import pytest

from detectors.canary import Canary, CanaryConfig, Compared
from detectors.two_sample import Block, TwoSample

ALPHA = 0.05
TRIALS = 400
"""Independent trials, carried as measures of one comparison."""
MARGIN = 0.05


def run(share: float, stable: float, blocks: int, *, drifting: bool = False) -> tuple[float, float]:
    """The shares of trials that ever reached 1/ALPHA: worse, and not worse. One looks after each block."""
    chance = np.random.default_rng(11)
    test = TwoSample(np.full(TRIALS, MARGIN))
    worse, fine = np.zeros(TRIALS, dtype=bool), np.zeros(TRIALS, dtype=bool)
    for block in range(blocks):
        units, others = chance.poisson(4, TRIALS), chance.poisson(12, TRIALS)
        # What both arms share may move: an outage of half an hour, a bad night.
        both = 0.3 * (block % 10 == 3) if drifting else 0.0
        hits, other_hits = chance.binomial(units, share + both), chance.binomial(others, stable + both)
        test.add(Block(*(part.astype(np.float64) for part in (hits, units, other_hits, others))))
        worse |= test.log_above >= np.log(1 / ALPHA)
        fine |= test.log_below >= np.log(1 / ALPHA)
    return float(worse.mean()), float(fine.mean())


@pytest.mark.parametrize("stable", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("drifting", [False, True])
def test_at_the_margin_either_verdict_is_rare(stable: float, drifting: bool) -> None:
    worse, fine = run(stable + MARGIN, stable, 60, drifting=drifting)
    assert worse <= ALPHA
    assert fine <= ALPHA


@pytest.mark.parametrize(("drifting", "shown"), [(False, 0.9), (True, 0.6)])
def test_an_equal_canary_is_hardly_ever_worse_and_is_shown_not_to_be(drifting: bool, shown: float) -> None:
    worse, fine = run(0.02, 0.02, 120, drifting=drifting)
    assert worse <= ALPHA / 2
    assert fine >= shown


def test_a_worse_canary_is_found() -> None:
    worse, fine = run(0.3, 0.02, 60)
    assert worse >= 0.95
    assert fine <= ALPHA


def test_a_block_with_one_arm_only_says_nothing() -> None:
    test = TwoSample(np.array([MARGIN]))
    for arms in ((5.0, 9.0, 0.0, 0.0), (0.0, 0.0, 0.0, 50.0)):
        test.add(Block(*(np.array([part]) for part in arms)))
    assert test.log_above[0] == test.log_below[0] == 0.0
    assert test.totals[:, 0].tolist() == [5, 9, 0, 50]


def test_extreme_shares_stay_finite() -> None:
    test = TwoSample(np.array([MARGIN, 0.25]))
    for hits in (0.0, 1000.0, 1000.0, 0.0):
        block = Block(*(np.full(2, part) for part in (hits, 1000.0, 1000.0 - hits, 1000.0)))
        test.add(block)
    assert np.isfinite(test.log_above).all() and np.isfinite(test.log_below).all()


def compared(measure: str, worse: float, fine: float, action: str | None = None) -> Compared:
    return Compared(
        measure=measure,
        action=action,
        margin=0.1,
        hits=1,
        traces=10,
        stable_hits=1,
        stable_traces=10,
        log10_e_worse=worse,
        log10_e_not_worse=fine,
    )


@pytest.mark.parametrize(
    ("measures", "verdict"),
    [
        ([("failed", 3.5, -9.0), ("denied", 0.0, 3.0)], "worse"),
        # Two measures share the chance of a wrong verdict: the mean of both e-values counts.
        ([("failed", 3.2, -9.0), ("denied", 0.0, 3.0)], "not yet"),
        ([("failed", -2.0, 3.0), ("denied", -5.0, 3.4)], "not worse"),
        ([("failed", -2.0, 3.0), ("denied", -5.0, 2.9)], "not yet"),
        ([], "not yet"),
    ],
)
def test_the_verdict_over_all_measures(measures: list[tuple[str, float, float]], verdict: str) -> None:
    canary = Canary(CanaryConfig(alpha=0.001))
    assert canary.verdict([compared(*one) for one in measures])[0] == verdict
