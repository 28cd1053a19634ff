"""What a test of calls is, and what a crossing means. Each test has a module of its own."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from detectors.base import Conclusion, Detector, Seen
from detectors.evidence import Ints
from detectors.key import Key
from detectors.window import MINUTE_MS
from pipeline.detect.call_minute import CallMinute
from pipeline.detect.statistics import Crossed, Progress

MakeConclusion = Callable[[Key], Conclusion]
TRIP_LEVEL = 2


class CallTest(Protocol):
    """A statistic over calls."""

    @property
    def detector(self) -> Detector: ...

    def step(self, minute: CallMinute) -> Iterable[tuple[int, MakeConclusion]]:
        """Judge one minute; yields (position of the slot, what to conclude of its key)."""
        ...

    def progress(self, slots: Ints, minute: int) -> list[Progress]:
        """How far these slots are in learning; nothing of what learns otherwise."""
        ...

    def grow(self, slots: int) -> None: ...

    def clear(self, slots: Ints) -> None: ...

    def state(self) -> Any: ...

    def load(self, state: Any) -> None: ...


def conclusion(
    key: Key,
    minute: int,
    crossed: Crossed,
    summary: str,
    facts: Mapping[str, float | int | str],
    condition: str,
    labels: Mapping[str, str] | None = None,
    rows: Sequence[str] = (),
) -> Conclusion:
    """What a crossing in one minute means for a key."""
    seen: Seen = crossed.seen
    start = minute * MINUTE_MS
    evidence = {
        "hits": seen.hits,
        "eligible": seen.eligible,
        "baseline": float(f"{seen.baseline:.4g}"),
        "log10_e": round(seen.log10_e, 1),
        "learned_minutes": seen.learned_minutes,
    }
    return Conclusion(
        kind="statistical",
        key=key,
        labels=labels or {},
        window=(start, start + MINUTE_MS),
        time_base="event",
        summary=summary,
        facts=evidence | dict(facts),
        may_trip=key.may_trip and crossed.level >= TRIP_LEVEL,
        condition=condition,
        rows=rows,
    )
