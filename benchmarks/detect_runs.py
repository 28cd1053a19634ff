"""One detector, or the rules of today, over one simulated fleet: what each pages, trips and finds."""

from collections.abc import Container, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.fleet import DAY, FIRST_MINUTE, HOUR, Fleet, Floats, Ints, Traffic
from benchmarks.planted import FAULT_MINUTES, Counted, Planted, Stream, is_quiet, quiet_days, streams_of
from benchmarks.rivals import History, Trace, pages, rules, tune

OWN_ECHO_MINUTES = 60
"""For so long after a fault an alert still belongs to it; rules with long windows get more."""
RIVAL_ECHO_MINUTES = 6 * HOUR
TRIP_LEVEL = 2
ASKED_RATE = 0.5
"""Events a minute from which faults are asked to be found."""


class Size(NamedTuple):
    """How large a simulation is."""

    agents: int
    days: int


class Ours(NamedTuple):
    """What a detector did. Arrays over faults; delays in minutes, infinite where not found."""

    detector: str
    false_pages: int
    false_after_release: int
    false_trips: int
    floor_false_pages: int
    sizes: Floats
    rates: Floats
    """Events a minute that count, expected during the fault if there were none."""
    delays: Floats
    delays_with_floor: Floats


class Theirs(NamedTuple):
    """What a rule did on the same stream."""

    rule: str
    variant: str
    threshold: float
    false_pages: int
    days: int
    delays: Floats


def run_ours(name: str, seed: int, size: Size) -> Ours:
    """Step the detector's statistics through a fleet's minutes, as the fold does."""
    fleet = Fleet(seed, size.agents, size.days)
    traffic = Traffic(fleet)
    parts = [(Planted(fleet, stream), _Stepper(name, stream, size.agents)) for stream in streams_of(name)]
    planted = parts[0][0]
    hours = np.zeros((size.days * 24, size.agents), dtype=bool)
    trips, floors = np.zeros_like(hours), np.zeros_like(hours)
    found = np.full((2, len(planted.faults)), np.inf)
    for _ in range(size.days):
        day = traffic.next_day()
        for part, stepper in parts:
            counted = part.count(day)
            crossings = stepper.day(counted)
            for minute, agent, level in crossings:
                hours[minute // HOUR, agent] = True
                trips[minute // HOUR, agent] |= level == TRIP_LEVEL
            if part is planted:
                _attribute(planted, crossings, found[0])
                floored = _floored(name, counted)
                floors[day.first_minute // HOUR :][:24] = floored.reshape(24, HOUR, -1).any(axis=1)
                reached = np.argwhere(floored)
                _attribute(planted, [(int(m) + day.first_minute, int(a), 1) for m, a in reached], found[1])
    quiet = is_quiet(fleet, planted.faults, OWN_ECHO_MINUTES)
    return Ours(
        detector=name,
        false_pages=pages(hours, quiet),
        false_after_release=pages(hours & _after_release(fleet), quiet),
        false_trips=pages(trips, quiet),
        floor_false_pages=pages(floors, quiet),
        sizes=np.array([fault.size for fault in planted.faults]),
        rates=planted.base_rate,
        delays=found[0],
        delays_with_floor=found.min(axis=0),
    )


def run_theirs(name: str, seeds: tuple[int, int], size: Size, pages_a_day: float) -> list[Theirs]:
    """Tune every rule on the first seed's fleet, within the false pages a day, and run it on the second's."""
    first = _trace(name, seeds[0], size)
    days = size.days - quiet_days(size.days)
    chosen = tune(first.traces, first.quiet, int(pages_a_day * days), first.rates >= ASKED_RATE)
    second = _trace(name, seeds[1], size, {(rule, tuned.variant) for rule, tuned in chosen.items()})
    out: list[Theirs] = []
    for rule, tuned in chosen.items():
        trace = second.traces[(rule, tuned.variant)]
        false = pages(trace.hours > tuned.threshold, second.quiet)
        out.append(Theirs(rule, tuned.variant, tuned.threshold, false, days, trace.delays(tuned.threshold)))
    return out


class _Traced(NamedTuple):
    traces: Mapping[tuple[str, str], Trace]
    quiet: NDArray[np.bool_]
    rates: Floats


def _trace(name: str, seed: int, size: Size, only: Container[tuple[str, str]] | None = None) -> _Traced:
    fleet, stream = Fleet(seed, size.agents, size.days), streams_of(name)[0]
    traffic, planted, history = Traffic(fleet), Planted(fleet, stream), History(size.agents)
    variants = [r for r in rules(stream.test) if only is None or (r.name, r.variant) in only]
    traces = {(r.name, r.variant): Trace(size.days, size.agents, planted.faults) for r in variants}
    for _ in range(size.days):
        counted = planted.count(traffic.next_day())
        history.turn(counted)
        for rule in variants:
            traces[(rule.name, rule.variant)].add(counted.first_minute, rule.score(history))
    quiet = is_quiet(fleet, planted.faults, RIVAL_ECHO_MINUTES)
    quiet[: quiet_days(size.days) * 24] = False
    return _Traced(traces, quiet, planted.base_rate)


class _Stepper:
    """A detector's statistic and what the fold keeps beside it."""

    def __init__(self, detector: str, stream: Stream, agents: int) -> None:
        from detectors.budget import levels_of
        from pipeline.detect.statistics import Statistic

        config = getattr(_config(detector), stream.section)
        self._statistic = Statistic(config, stream.test, levels_of(config).times(stream.tests))
        self._statistic.grow(agents)
        self._last = np.full(agents, -1, dtype=np.int64)

    def day(self, counted: Counted) -> list[tuple[int, int, int]]:
        """(minute of the simulation, agent, level) of each crossing."""
        out: list[tuple[int, int, int]] = []
        seen = counted.eligible > 0
        for row in range(DAY):
            slots = np.flatnonzero(seen[row])
            if not len(slots):
                continue
            minute = counted.first_minute + row
            last = self._last[slots]
            gap = np.where(last >= 0, minute - last - 1, 0)
            at: Ints = np.full(len(slots), FIRST_MINUTE + minute)
            hits, eligible = counted.hits[row, slots], counted.eligible[row, slots]
            crossings = self._statistic.step(slots, at, gap, hits, eligible)
            out += [(minute, int(slots[crossed.row]), crossed.level) for crossed in crossings]
            self._last[slots] = minute
        return out


def statistical_detectors() -> list[str]:
    """The names of the detectors with a statistical test, in the order of the registry."""
    from detectors.registry import DETECTORS
    from pipeline.detect.config import DetectConfig

    config = DetectConfig()
    return [d.name for d in DETECTORS if hasattr(getattr(config, d.name), "statistic")]


def _config(detector: str) -> Any:
    from pipeline.detect.build import budgeted
    from pipeline.detect.config import DetectConfig

    config = DetectConfig()
    return budgeted(getattr(config, detector), config)


def _floored(detector: str, counted: Counted) -> NDArray[np.bool_]:
    """Minutes × agents in which the floor's count is reached; clock minutes alone, so a little too few."""
    floor = getattr(_config(detector), "floor", None)
    if floor is None:
        return np.zeros(counted.hits.shape, dtype=bool)
    reached = counted.hits >= floor.per_minute
    if detector == "error_spike":  # its floor asks for half of the steps
        reached &= 2 * counted.hits >= counted.eligible
    return reached


def _attribute(planted: Planted, alerts: list[tuple[int, int, int]], found: Floats) -> None:
    """Note the first alert within each fault."""
    faults: dict[int, list[int]] = {}
    for index, fault in enumerate(planted.faults):
        faults.setdefault(fault.agent, []).append(index)
    for minute, agent, _ in alerts:
        for index in faults.get(agent, ()):
            delay = minute - planted.faults[index].onset + 1
            if 0 < delay <= FAULT_MINUTES:
                found[index] = min(found[index], delay)


def _after_release(fleet: Fleet) -> NDArray[np.bool_]:
    """Hours × agents within a day after a release."""
    after = np.zeros((fleet.days * 24, fleet.agents), dtype=bool)
    for release in fleet.releases:
        after[release.minute // HOUR : release.minute // HOUR + 24, release.agent] = True
    return after
