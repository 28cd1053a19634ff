"""The rules that people use today, as scores: a rule alerts while its score is above its threshold.

Each has some variants (windows, least counts); a threshold and a variant are chosen by search on one
simulated fleet, within a budget of false pages, and measured on another.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.fleet import DAY, HOUR, Floats
from benchmarks.planted import FAULT_MINUTES, Counted, Fault

Scores = NDArray[np.float32]
LEAST_SHARE = 1e-3
"""The smallest error budget of a burn rate."""
BURN_WINDOWS = ((5, 60, 14.4), (30, 360, 6.0))
"""(short minutes, long minutes, factor), as service-level alerting pairs them."""
SEASON_DAYS = 7


class History:
    """Today and yesterday as cumulative sums, and a week of hourly means."""

    def __init__(self, agents: int) -> None:
        self._hits = np.zeros((2 * DAY, agents))
        self._eligible = np.zeros((2 * DAY, agents))
        self._daily: list[tuple[Floats, Floats]] = []
        self.days = 0

    def turn(self, counted: Counted) -> None:
        """Take in the next day."""
        if self.days:
            self._daily.append((self._hits[DAY:].sum(axis=0), self._eligible[DAY:].sum(axis=0)))
            del self._daily[:-SEASON_DAYS]
        self._hits = np.concatenate([self._hits[DAY:], counted.hits])
        self._eligible = np.concatenate([self._eligible[DAY:], counted.eligible])
        self._sums = [_from_zero(self._hits), _from_zero(self._eligible)]
        self.days += 1

    def hits(self, minutes: int) -> Floats:
        """Hits in the last `minutes` (at most a day), at each minute of today."""
        return _last(self._sums[0], minutes)

    def eligible(self, minutes: int) -> Floats:
        """The same of eligible events."""
        return _last(self._sums[1], minutes)

    def share(self, minutes: int, least: float) -> Floats:
        """Share of hits; 0 where fewer than `least` events were eligible."""
        eligible = self.eligible(minutes)
        return np.where(eligible >= least, self.hits(minutes) / np.maximum(eligible, 1), 0.0)

    def usual(self) -> tuple[Floats, Floats]:
        """(share of hits, hits a minute) of the last seven whole days, over agents."""
        hits = np.sum([h for h, _ in self._daily], axis=0) if self._daily else np.zeros(self._hits.shape[1])
        eligible = np.sum([e for _, e in self._daily], axis=0) if self._daily else np.zeros_like(hits)
        return hits / np.maximum(eligible, 1), hits / max(1, DAY * len(self._daily))


def _from_zero(values: Floats) -> Floats:
    return np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])


def _last(sums: Floats, minutes: int) -> Floats:
    return sums[DAY + 1 :] - sums[DAY + 1 - minutes : 2 * DAY + 1 - minutes]


class Rule(NamedTuple):
    """One variant of a rule. `score` may keep a state: one `Rule` is for one pass over one stream."""

    name: str
    variant: str
    score: Callable[[History], Floats]


def rules(test: str) -> list[Rule]:
    """Fresh rules for a stream of that test."""
    made = [Rule("fixed threshold", f"hits in {w} min", lambda h, w=w: h.hits(w)) for w in (1, 5, 15, 60)]
    made += [
        Rule("spike over the last window", f"{w} min, at least {c}", lambda h, w=w, c=c: _spike(h, w, c))
        for w in (5, 15, 60)
        for c in (3, 10, 30)
    ]
    made += [_z(test, w) for w in (1, 5, 15, 60)] + [_seasonal_z(test, w) for w in (5, 15, 60)]
    if test == "ratio":
        made += [
            Rule("fixed threshold", f"share in {w} min, of at least {m}", lambda h, w=w, m=m: h.share(w, m))
            for w in (5, 15, 60)
            for m in (5, 10, 30)
        ]
    made += [
        Rule(
            "multi-window burn rate",
            f"of {budget}, at least {m} hits",
            lambda h, b=budget, m=m: _burn(test, h, b, m),
        )
        for budget in (("its own week", "1%") if test == "ratio" else ("its own week",))
        for m in (1, 3, 10)
    ]
    return made


def _spike(history: History, minutes: int, least: int) -> Floats:
    """As ElastAlert: the last window over the one before it, from a least count."""
    now = history.hits(minutes)
    before = history.hits(2 * minutes) - now
    return np.where(now >= least, now / np.maximum(before, 1), 0.0)


def _value(test: str, history: History, minutes: int) -> tuple[Floats, Floats]:
    """(hits or share of the last window, the least deviation that counts as one)."""
    if test == "rate":
        return history.hits(minutes), np.ones(1)
    eligible = np.maximum(history.eligible(minutes), 1)
    share = history.hits(minutes) / eligible
    usual = np.maximum(history.usual()[0], LEAST_SHARE)
    return share, np.sqrt(usual * (1 - usual) / eligible)


def _z(test: str, minutes: int) -> Rule:
    """Deviations from the mean of the last 24 hours."""
    before: list[Floats] = []

    def score(history: History) -> Floats:
        value, least = _value(test, history, minutes)
        past = before.pop() if before else np.zeros_like(value)
        before.append(value)
        both = np.concatenate([past, value])
        mean = _last(_from_zero(both), DAY) / DAY
        square = _last(_from_zero(both**2), DAY) / DAY
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        return (value - mean) / np.maximum(deviation, least)

    return Rule("z-score", f"{minutes} min, of the last day", score)


def _seasonal_z(test: str, minutes: int) -> Rule:
    """Deviations from the mean of the same hour of the last seven days."""
    moments: list[tuple[Floats, Floats]] = []

    def score(history: History) -> Floats:
        value, least = _value(test, history, minutes)
        hourly = value.reshape(24, HOUR, -1)
        past = moments or [(hourly.mean(axis=1), (hourly**2).mean(axis=1))]
        mean = np.mean([m for m, _ in past], axis=0).repeat(HOUR, axis=0)
        square = np.mean([s for _, s in past], axis=0).repeat(HOUR, axis=0)
        moments.append((hourly.mean(axis=1), (hourly**2).mean(axis=1)))
        del moments[:-SEASON_DAYS]
        return (value - mean) / np.maximum(np.sqrt(np.maximum(square - mean**2, 0)), least)

    return Rule("z-score", f"{minutes} min, of the same hour of 7 days", score)


def _burn(test: str, history: History, budget: str, least: int) -> Floats:
    """How fast a budget is spent, in a short and a long window at once; two such pairs."""
    share, rate = history.usual()
    total = np.zeros(1)
    for short, long, factor in BURN_WINDOWS:
        burns = []
        for minutes in (short, long):
            if test == "ratio":
                allowed = 0.01 if budget == "1%" else np.maximum(share, LEAST_SHARE)
                burns.append(history.share(minutes, 1) / allowed)
            else:
                burns.append(history.hits(minutes) / minutes / np.maximum(rate, 1 / DAY))
        enough = history.hits(long) >= least
        total = np.maximum(total, np.where(enough, np.minimum(*burns), 0) * BURN_WINDOWS[0][2] / factor)
    return total


class Trace:
    """What is kept of one rule's scores: the hours' highest, and how they rise during each fault."""

    def __init__(self, days: int, agents: int, faults: list[Fault]) -> None:
        self.hours: Scores = np.zeros((days * 24, agents), dtype=np.float32)
        self._faults = faults
        self.rises: Scores = np.zeros((len(faults), FAULT_MINUTES), dtype=np.float32)

    def add(self, first_minute: int, score: Floats) -> None:
        """One day's scores."""
        hour = first_minute // HOUR
        self.hours[hour : hour + 24] = score.reshape(24, HOUR, -1).max(axis=1)
        for row, fault in zip(self.rises, self._faults, strict=True):
            begin, end = max(0, fault.onset - first_minute), fault.onset + FAULT_MINUTES - first_minute
            if begin < DAY and end > 0:
                part = score[begin : min(DAY, end), fault.agent]
                at = begin + first_minute - fault.onset
                row[at : at + len(part)] = part

    def delays(self, threshold: float) -> Floats:
        """Minutes from each fault's onset to the alert; infinite where there is none."""
        above = self.rises > threshold
        return np.where(above.any(axis=1), above.argmax(axis=1) + 1.0, np.inf)


def pages(alerting: NDArray[np.bool_], quiet: NDArray[np.bool_]) -> int:
    """Pages of hours × agents: an hour with an alert after one without, while all is well."""
    begins = alerting & quiet
    begins[1:] &= ~alerting[:-1]
    return int(begins.sum())


def threshold_within(trace: Trace, quiet: NDArray[np.bool_], allowed: int) -> float:
    """The lowest threshold that makes at most `allowed` false pages, as do all above it.

    Searched from the top: a rule that never stops alerting makes few pages as well.
    """
    candidates = np.unique(trace.hours[quiet])[::-1]
    good, bad = 0, 1
    while bad < len(candidates) and pages(trace.hours > candidates[bad], quiet) <= allowed:
        good, bad = bad, 2 * bad
    bad = min(bad, len(candidates))
    while bad - good > 1:
        middle = (good + bad) // 2
        if pages(trace.hours > candidates[middle], quiet) <= allowed:
            good = middle
        else:
            bad = middle
    return float(candidates[good]) if len(candidates) else 0.0


class Tuned(NamedTuple):
    """A rule's best variant within a budget."""

    variant: str
    threshold: float
    order: tuple[float, float]
    """Median and mean minutes to find the faults that it was chosen by."""


def tune(
    traces: Mapping[tuple[str, str], Trace],
    quiet: NDArray[np.bool_],
    allowed: int,
    counts: NDArray[np.bool_],
) -> dict[str, Tuned]:
    """By rule: the variant and threshold that find the faults that count soonest, within `allowed` pages."""
    best: dict[str, Tuned] = {}
    for (name, variant), trace in traces.items():
        threshold = threshold_within(trace, quiet, allowed)
        delays = np.minimum(trace.delays(threshold)[counts], FAULT_MINUTES)
        order = (float(np.median(delays)), float(delays.mean())) if len(delays) else (np.inf, np.inf)
        if name not in best or order < best[name].order:
            best[name] = Tuned(variant, threshold, order)
    return best
