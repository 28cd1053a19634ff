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

LOG_HEADROOM = np.log(1e4)
"""The statistic is capped at `trip_at` times this, so that it falls soon after the trouble ends.
A cap only lowers it, which keeps the bound."""
IDLE_CREDIT_MINUTES = 60
"""Of a longer silence the baseline learns only this much: an agent that was off for a weekend must
not look like a burst on Monday."""
PRIOR_RATE_HITS, PRIOR_RATE_MINUTES = 0.5, 10.0
PRIOR_RATIO_HITS, PRIOR_RATIO_EVENTS = 0.2, 10.0
MAX_RATIO = 0.9
DISPERSION_BOUNDS = (0.3, 50.0)
"""Of the negative binomial's shape: from very bursty to nearly Poisson."""
CLUSTER_BOUNDS = (1.0, 20.0)
"""Failures come in clusters (retries): the evidence of a minute is divided by the cluster size."""
LOG_MINUTE_CAP = float(np.log(1e3))
"""One minute's share is at most so much evidence: a single tool call and its retries never page."""
PRIOR_CLUSTER, PRIOR_CLUSTER_MINUTES = 3.0, 60.0


class Baseline(NamedTuple):
    """What is normal: decayed sums per key. `weight` is minutes (rate) or events (ratio)."""

    hits: Floats
    weight: Floats
    spread: Floats
    """Rate: sum of squared deviations; ratio: sum of the minutes' dispersion."""
    minutes: Floats
    """Decayed number of minutes that were learned from."""


class Judged(NamedTuple):
    """One minute of each key against its baseline. Arrays over keys; `log_ratio` is keys × alternatives."""

    log_ratio: Floats
    log_p: Floats
    """Natural log of an upper bound (Chernoff) of the chance of as many hits under the baseline."""
    normal: Floats
    """The baseline in the detector's unit."""
    spread: Floats
    """What this minute adds to the baseline's spread."""


def judge_rate(config: StatisticConfig, base: Baseline, hits: Ints) -> Judged:
    """Negative-binomial likelihood ratios of counts. The binomial coefficients cancel."""
    x = hits.astype(np.float64)
    mean, null, shape = _rate_null(config, base)
    alternatives = null[:, None] * np.asarray(config.multiples)
    log_ratio = x[:, None] * (
        np.log(alternatives / null[:, None])
        - np.log((alternatives + shape[:, None]) / (null + shape)[:, None])
    ) - shape[:, None] * np.log((alternatives + shape[:, None]) / (null + shape)[:, None])
    above = np.maximum(x, null)
    log_p = -(above * np.log(above / null) - (above + shape) * np.log((above + shape) / (null + shape)))
    return Judged(log_ratio, log_p, mean, (x - mean) ** 2)


def idle_rate(config: StatisticConfig, base: Baseline) -> Floats:
    """The log ratios of one minute without hits (keys × alternatives), always below 0."""
    _, null, shape = _rate_null(config, base)
    alternatives = null[:, None] * np.asarray(config.multiples)
    return -shape[:, None] * np.log((alternatives + shape[:, None]) / (null + shape)[:, None])


def judge_ratio(config: StatisticConfig, base: Baseline, hits: Ints, eligible: Ints) -> Judged:
    """Bernoulli likelihood ratios of hits among eligible events, tempered by how clustered they come."""
    x, n = hits.astype(np.float64), eligible.astype(np.float64)
    total = base.weight + PRIOR_RATIO_EVENTS
    mean = (base.hits + PRIOR_RATIO_HITS) / total
    cluster = np.clip(
        (base.spread + PRIOR_CLUSTER * PRIOR_CLUSTER_MINUTES) / (base.minutes + PRIOR_CLUSTER_MINUTES),
        *CLUSTER_BOUNDS,
    )
    null = np.minimum(MAX_RATIO, config.slack * mean + 2 * np.sqrt((base.hits + 1) * cluster) / total)
    odds = (null / (1 - null))[:, None] * np.asarray(config.multiples)
    alternatives = odds / (1 + odds)
    log_ratio = (
        x[:, None] * np.log(alternatives / null[:, None])
        + (n - x)[:, None] * np.log((1 - alternatives) / (1 - null)[:, None])
    ) / cluster[:, None]
    log_ratio = np.minimum(log_ratio, LOG_MINUTE_CAP)
    share = np.clip(np.maximum(x / n, null), 1e-12, 1 - 1e-12)
    log_p = -n * (share * np.log(share / null) + (1 - share) * np.log((1 - share) / (1 - null)))
    return Judged(log_ratio, log_p / cluster, mean, (x - n * mean) ** 2 / (n * mean * (1 - mean)))


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


def _rate_null(config: StatisticConfig, base: Baseline) -> tuple[Floats, Floats, Floats]:
    """(mean, highest normal mean, shape) of a minute's count."""
    minutes = base.weight + PRIOR_RATE_MINUTES
    mean = (base.hits + PRIOR_RATE_HITS) / minutes
    null = config.slack * mean + 2 * np.sqrt(base.hits + 1) / minutes
    variance = (base.spread + mean * PRIOR_RATE_MINUTES) / minutes
    with np.errstate(divide="ignore"):
        shape = np.where(variance > mean, mean**2 / (variance - mean), np.inf)
    return mean, null, np.clip(shape, *DISPERSION_BOUNDS)
