"""The fold over what is sealed, as live detection would have made it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipeline.audit.store import Store
from pipeline.detect.accepted import acceptances
from pipeline.detect.config import DetectConfig
from pipeline.detect.fold import Detection
from pipeline.detect.model import Acceptance, Found, Trip
from pipeline.replay.recorded import recorded_commands, trips_of
from pipeline.tail import GONE_AFTER_MS, Handover, Key, Recording, Tail, name_of

AFTERWARDS_MS = 3_600_000
"""So much of what was sealed after the span is folded too: what concludes a window comes after it."""

Progress = Callable[[int], None]
"""Called with the time that the replay has reached, in ms since 1970."""


class Span(NamedTuple):
    """[from, to) in ms since 1970. Findings belong to it by the beginning of their window."""

    from_ms: int
    to_ms: int

    def holds(self, at_ms: int) -> bool:
        """Whether it is in the span."""
        return self.from_ms <= at_ms < self.to_ms


class Replayed(NamedTuple):
    """What one configuration finds in the span."""

    found: list[Found]
    """Withdrawals included, in the order in which they were concluded."""
    signals: int
    """Events folded, those before the span included: they are what is normal."""


def replay(
    store: Store,
    configs: Sequence[DetectConfig],
    span: Span,
    *,
    learn_from_ms: int | None = None,
    progress: Progress | None = None,
) -> list[Replayed]:
    """Fold the store once for all `configs`; from its beginning, or from `learn_from_ms` on."""
    commands = recorded_commands(store)
    trips, accepted = trips_of(commands), acceptances(commands)
    runs = [_Run(config, trips, accepted) for config in configs]
    tail = Tail(store, Handover())
    tail.discover(now_ms=0)
    for recording in tail.recorded():
        if learn_from_ms is not None and recording.at_ms < learn_from_ms:
            continue
        if recording.at_ms >= span.to_ms + AFTERWARDS_MS:
            break
        for run in runs:
            run.fold(recording)
        if progress is not None:
            progress(recording.at_ms)
    return [run.within(span) for run in runs]


class _Run:
    """One detection, told of partitions and trips when live detection would have learned of them."""

    def __init__(self, config: DetectConfig, trips: Sequence[Trip], accepted: Sequence[Acceptance]) -> None:
        self._detection = Detection(config)
        self._detection.accept(list(accepted))
        self._trips = list(trips)
        self._spoke_ms: dict[Key, int] = {}
        self._begun: set[Key] = set()
        """Every partition that ever spoke."""
        self.found: list[Found] = []
        self.signals = 0

    def fold(self, recording: Recording) -> None:
        """Take in one entry of a partition's log."""
        self._tell_trips(recording.at_ms)
        self._leave_silent(recording.at_ms)
        self._leave_succeeded(recording.key)
        self._spoke_ms[recording.key] = recording.at_ms
        self._detection.join([recording.key])
        for batch in recording.batches:
            self.found += self._detection.observe(batch)
            self.signals += batch.signals.height
        if recording.is_halt:
            self._leave(recording.key, is_halted=True)

    def within(self, span: Span) -> Replayed:
        """What was found in windows that begin in the span."""
        found = [one for one in self.found if span.holds(one.finding.window_start_ms)]
        return Replayed(found, self.signals)

    def _tell_trips(self, at_ms: int) -> None:
        due = [trip for trip in self._trips if trip.served_at_ms <= at_ms]
        if due:
            del self._trips[: len(due)]
            self.found += self._detection.trips(due)

    def _leave_silent(self, at_ms: int) -> None:
        for key in [key for key, spoke in self._spoke_ms.items() if spoke < at_ms - GONE_AFTER_MS]:
            self._leave(key)

    def _leave_succeeded(self, key: Key) -> None:
        """As live: a topic that was made anew is another, and nobody waits for the one before."""
        if key in self._begun:
            return
        self._begun.add(key)
        same = [one for one in self._spoke_ms if one[0] != key[0] and name_of(one) == name_of(key)]
        for one in same:
            self._leave(one)

    def _leave(self, key: Key, *, is_halted: bool = False) -> None:
        del self._spoke_ms[key]
        self.found += self._detection.leave(key, is_halted=is_halted)
