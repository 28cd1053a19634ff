"""E-detectors: sequential tests of "worse than normal" with a bound on false alarms, for many keys at once.

Shiryaev–Roberts e-detector (Shin, Ramdas, Rinaldo 2022): R ← (1 + R)·L with L the likelihood ratio of
one minute, and M the mean of R over the alternatives. Under the null E[M after n minutes] ≤ n, so
that the average time to a false M ≥ A is at least A minutes. With a learned baseline this is
approximate, and the slack above the baseline keeps it on the safe side. All in natural logs: a
product of ratios overflows within minutes.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.base import StatisticConfig

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

LOG_HEADROOM = np.log(1e4)
"""The statistic is capped at `trip_at` times this, so that it falls soon after the trouble ends.
A cap only lowers it, which keeps the bound."""
HOUR_MINUTES = 60
IDLE_CREDIT_MINUTES = 60
"""Of a longer silence the baseline learns only this much: an agent that was off for a weekend must
not look like a burst on Monday."""
PRIOR_RATE_HITS, PRIOR_RATE_MINUTES = 0.5, 10.0
PRIOR_RATIO_HITS, PRIOR_RATIO_EVENTS = 0.2, 10.0
MAX_RATIO, CERTAIN_RATIO = 0.97, 1 - 1e-6
PRIOR_SPREAD, PRIOR_SPREAD_MINUTES = 0.2, 60.0
"""Before a rate was watched for an hour, its minutes vary like a negative binomial of shape 5."""
DISPERSION_BOUNDS = (0.05, 50.0)
"""Of the negative binomial's shape: from very bursty to nearly Poisson."""
CLUSTER_BOUNDS, PRIOR_CLUSTER_HITS = (1.0, 20.0), 10.0
"""Failures come in clusters (retries). Evidence is divided by the root of how much more they vary than by
themselves: by all of it costs as much time as it saves false findings, and tempers see to the rest."""
LOG_MINUTE_CAP = float(np.log(100))
"""One minute's share is at most so much evidence: a single tool call and its retries never page."""
LOG_HIT_CAP, LOG_SHARE_HIT_CAP = 0.2, 1.5
"""One hit is at most so much evidence, of a rate and of a share: a finding takes about ninety hits of a rate,
a dozen of a share, however rare they were."""
FULL_HITS, LEAST_WORTH = 7.5, 0.4
"""Of a rate that expects fewer hits in an hour, one is worth less by as much, down to LEAST_WORTH of it: what
is seldom comes in sessions."""
TRIP_SLACK, TRIP_MULTIPLE = 2.0, 3.0
"""A trip takes a share whose odds are likelier at six times the highest that is normal than at twice that."""
TOP_SLACK = 1.4
"""A rate may exceed its busiest ordinary hour by so much."""


class Baseline(NamedTuple):
    """What is normal: decayed sums per key. `weight` is minutes × season (rate) or events (ratio)."""

    hits: Floats
    weight: Floats
    spread: Floats
    """Sum of squared deviations; of a rate, of what is beyond Poisson's."""
    scale: Floats
    """What the spread is relative to. Rate: sum of squared means; ratio: of binomial variances."""


class Judged(NamedTuple):
    """One minute of each key against its baseline. Arrays over keys; `log_ratio` is keys × alternatives."""

    log_ratio: Floats
    log_p: Floats
    """Natural log of an upper bound (Chernoff) of the chance of as many hits under the baseline. Untempered:
    a temper is about the past, and must not make an ongoing fault look ordinary."""
    normal: Floats
    """The baseline in the detector's unit."""
    spread: Floats
    """What this minute adds to the baseline's spread."""
    scale: Floats
    log_trip: Floats
    """Log ratio of a share's minute for a trip; 0 for a rate, whose hours speak for one."""


class RateNull(NamedTuple):
    """What a rate's minutes are tested against. Arrays over keys."""

    mean: Floats
    highest: Floats
    """The highest mean that still counts as normal."""
    shape: Floats
    """Of the negative binomial."""
    temper: Floats
    """What evidence is divided by."""


def rate_null(
    config: StatisticConfig, base: Baseline, factor: Floats, top: Floats, temper: Floats
) -> RateNull:
    """The null of minutes with this seasonal factor."""
    weight = base.weight + PRIOR_RATE_MINUTES
    level = (base.hits + PRIOR_RATE_HITS) / weight
    highest = config.slack * level + 2 * np.sqrt((base.hits + 1) * temper) / weight
    prior = PRIOR_SPREAD_MINUTES * level**2
    with np.errstate(divide="ignore"):
        shape = (base.scale + prior) / np.maximum(base.spread + PRIOR_SPREAD * prior, 0.0)
    highest = np.maximum(highest * factor, TOP_SLACK * top)
    return RateNull(level * factor, highest, np.clip(shape, *DISPERSION_BOUNDS), temper)


def judge_rate(config: StatisticConfig, null: RateNull, hits: Ints | Floats) -> Judged:
    """Negative-binomial likelihood ratios of counts. The binomial coefficients cancel.

    Sums of values between 0 and 1 are as good: for a sum S of N such values of mean m, E[exp(λS)] is at most
    that of a count with mean m·E[N] and N's shape, since exp is convex on [0, 1].
    """
    x, (mean, highest, shape, temper) = hits.astype(np.float64), null
    multiples = np.asarray(config.multiples)
    grown = np.log((highest[:, None] * multiples + shape[:, None]) / (highest + shape)[:, None])
    log_ratio = (x[:, None] * (np.log(multiples) - grown) - shape[:, None] * grown) / temper[:, None]
    log_ratio = np.minimum(
        log_ratio, np.inf if config.minute_factor is None else np.log(config.minute_factor)
    )
    log_ratio = np.minimum(log_ratio, (LOG_HIT_CAP * hit_worth(HOUR_MINUTES * mean) * x)[:, None])
    above = np.maximum(x, highest)
    log_p = -(above * np.log(above / highest) - (above + shape) * np.log((above + shape) / (highest + shape)))
    none = np.zeros_like(mean)
    return Judged(log_ratio, log_p, mean, (x - mean) ** 2 - mean, mean**2, none)


def hit_worth(hits_an_hour: Floats) -> Floats:
    """The part of the most evidence that one hit may be, by how many are expected in an hour."""
    return np.clip(hits_an_hour / FULL_HITS, LEAST_WORTH, 1.0)


def idle_rate(config: StatisticConfig, null: RateNull) -> Floats:
    """The log ratios of one minute without hits (keys × alternatives), always below 0."""
    shape, highest = null.shape[:, None], null.highest[:, None]
    grown = np.log((highest * np.asarray(config.multiples) + shape) / (highest + shape))
    return -shape * grown / null.temper[:, None]


def judge_ratio(
    config: StatisticConfig, base: Baseline, temper: Floats, hits: Ints | Floats, eligible: Ints
) -> Judged:
    """Bernoulli likelihood ratios of hits among eligible events, tempered by how clustered they come."""
    x, n = hits.astype(np.float64), eligible.astype(np.float64)
    total = base.weight + PRIOR_RATIO_EVENTS
    mean = (base.hits + PRIOR_RATIO_HITS) / total
    cluster = (base.spread + PRIOR_CLUSTER_HITS) / (base.scale + PRIOR_CLUSTER_HITS)
    clumped = np.sqrt(np.clip(cluster, *CLUSTER_BOUNDS))
    temper = temper * clumped
    error = 2 * np.sqrt((base.hits + 1) * temper) / total
    null = np.minimum(MAX_RATIO, config.slack * mean + error)
    # Where nearly all are hits already, there is nothing above to find.
    null = np.minimum(CERTAIN_RATIO, np.maximum(null, mean + error))
    cap = LOG_MINUTE_CAP if config.minute_factor is None else float(np.log(config.minute_factor))
    log_ratio = _share_ratio(x, n, null, config.multiples, temper, cap)
    trip_null = TRIP_SLACK * null / (1 + (TRIP_SLACK - 1) * null)
    log_trip = _share_ratio(x, n, trip_null, (TRIP_MULTIPLE,), temper, cap)[:, 0]
    share = np.clip(np.maximum(x / n, null), 1e-12, 1 - 1e-12)
    log_p = -n * (share * np.log(share / null) + (1 - share) * np.log((1 - share) / (1 - null)))
    return Judged(log_ratio, log_p / clumped, mean, (x - n * mean) ** 2, n * mean * (1 - mean), log_trip)


def _share_ratio(
    x: Floats, n: Floats, null: Floats, multiples: tuple[float, ...], temper: Floats, cap: float
) -> Floats:
    """Log likelihood ratios of x hits among n (keys × multiples of the null's odds), capped."""
    odds = (null / (1 - null))[:, None] * np.asarray(multiples)
    alternatives = odds / (1 + odds)
    log_ratio = (
        x[:, None] * np.log(alternatives / null[:, None])
        + (n - x)[:, None] * np.log((1 - alternatives) / (1 - null)[:, None])
    ) / temper[:, None]
    return np.minimum(np.minimum(log_ratio, cap), LOG_SHARE_HIT_CAP * x[:, None])


def add_minute(log_r: Floats, log_ratio: Floats, cap: float) -> Floats:
    """R ← (1 + R)·L, capped. Both arrays keys × alternatives."""
    return np.minimum(np.logaddexp(0.0, log_r) + log_ratio, cap)


def add_idle_minutes(log_r: Floats, log_ratio: Floats, minutes: Ints) -> Floats:
    """The same for `minutes` equal minutes at once: R·c^k + c·(1 − c^k)/(1 − c), for ratios c < 1."""
    k = minutes.astype(np.float64)[:, None]
    with np.errstate(divide="ignore"):
        fresh = log_ratio + np.log(-np.expm1(k * log_ratio)) - np.log(-np.expm1(log_ratio))
    return np.logaddexp(log_r + k * log_ratio, fresh)


def mixture(log_r: Floats) -> Floats:
    """Log of the mean of R over the alternatives."""
    top = log_r.max(axis=1)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return safe + np.log(np.exp(log_r - safe[:, None]).mean(axis=1))
