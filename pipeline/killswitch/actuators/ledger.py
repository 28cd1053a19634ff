"""What one actuator was asked and has acknowledged, trip by trip. Pure: no clock, no I/O.

An entry begins with the trip and ends when its release was acknowledged. Only what the switch knows to be
loosened is released: a trip that is merely no longer known keeps what was done for it.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from pipeline.killswitch.actuators.config import ActuatorConfig
from pipeline.killswitch.actuators.order import MAX_NAMED, Attempt, InForce, Order
from pipeline.killswitch.state import DRILL_ENVIRONMENT, RANK, SwitchState
from pipeline.killswitch.timeline import Timeline
from schemas.command import Command, Mode, Selector

State = Literal["asked", "enforced", "not enforced", "unknown"]
KEPT_MS = 24 * 3_600_000
FORGOTTEN = "the switch does not know this trip any more: see to it by hand"


class ActuatorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One trip at one actuator."""

    actuator: str
    trip: str
    wanted: Mode
    """What it was told, or is to be told; `on`: release."""
    state: State
    attempts: int
    """Failed ones, of this order."""
    since_ms: int
    detail: str


class Entry(msgspec.Struct, kw_only=True):
    """One trip at one actuator."""

    trip: Command
    wanted: Mode
    """What it is to be told; `on`: release."""
    before: Mode = "on"
    """What it was told, or was to be told, before that."""
    serial: int = 1
    """Counts the orders of this trip."""
    since_ms: int
    """When this order was due first."""
    attempts: int = 0
    settled: bool = False
    """Nothing is to be done until the trip changes."""
    failed: bool = False
    """It has failed too often or for too long, and is tried on."""
    status_url: str | None = None
    detail: str = ""
    not_before_s: float = 0.0
    """When the next attempt is due, by this process's monotonic clock."""

    def status(self, actuator: str) -> "ActuatorStatus":
        """As a person sees it."""
        return ActuatorStatus(
            actuator=actuator,
            trip=self.trip.id,
            wanted=self.wanted,
            state=self.state,
            attempts=self.attempts,
            since_ms=self.since_ms,
            detail=self.detail,
        )

    @property
    def state(self) -> State:
        """Whether the actuator does what it is asked."""
        if self.settled:
            return "unknown" if self.detail else "enforced"
        return "not enforced" if self.failed else "asked"


class Ledger:
    """The entries of one actuator."""

    def __init__(self, config: ActuatorConfig, entries: Iterable[Entry] = ()) -> None:
        self._config = config
        self.entries = {entry.trip.id: entry for entry in entries}

    def follow(
        self, state: SwitchState, known: Mapping[str, Timeline], now_ms: int, *, is_complete: bool
    ) -> bool:
        """Take up what the switch serves now. `known` are the trips that it remembers, all there are where
        `is_complete`. True if anything changed."""
        modes = self._modes(state)
        changed = False
        for trip, mode in modes.values():
            entry = self.entries.get(trip.id)
            if entry is None:
                if mode != "on":
                    self.entries[trip.id] = Entry(trip=trip, wanted=mode, since_ms=now_ms)
                    changed = True
            else:
                changed |= self._want(entry, mode, now_ms)
                entry.trip = trip  # its reason may have been redacted since
        for trip_id in [*self.entries.keys() - modes.keys()]:
            timeline = known.get(trip_id)
            if timeline is not None and timeline.loosened and timeline.loosened[-1][1] == "on":
                changed |= self._want(self.entries[trip_id], "on", now_ms)
            elif timeline is None and is_complete:
                self.entries[trip_id].settled, self.entries[trip_id].detail = True, FORGOTTEN
        return changed | self._forget(now_ms)

    def due(self, now_s: float) -> Entry | None:
        """The entry to attempt now: what tightens before what loosens, the oldest first."""
        ready = [e for e in self.entries.values() if not e.settled and e.not_before_s <= now_s]
        return min(ready, key=lambda e: (e.wanted == "on", e.since_ms), default=None)

    def next_s(self) -> float | None:
        """When the next attempt is due; None if there is nothing to do."""
        return min((e.not_before_s for e in self.entries.values() if not e.settled), default=None)

    def order(self, entry: Entry, state: SwitchState) -> Order:
        """The order that `entry` stands for now."""
        selector = entry.trip.selector or Selector()
        in_force = [
            InForce(trip=trip.id, mode=mode, selector=trip.selector or Selector())
            for trip, mode in self._modes(state).values()
            if mode != "on"
        ]
        return Order(
            id=f"{entry.trip.id}/{entry.serial}",
            command="tighten" if RANK[entry.wanted] > RANK[entry.before] else "loosen",
            trip=entry.trip.id,
            mode=entry.wanted,
            selector=selector,
            by=entry.trip.by,
            reason=entry.trip.reason,
            automatic=entry.trip.automatic,
            finding_id=entry.trip.finding_id,
            at_ms=entry.trip.at_ms,
            attempt=entry.attempts + 1,
            drill=selector.environment == DRILL_ENVIRONMENT,
            in_force=in_force[:MAX_NAMED],
            in_force_count=len(in_force),
        )

    def record(self, entry: Entry, serial: int, attempt: Attempt, now_s: float) -> None:
        """How an attempt at order `serial` went. What the switch has asked since stands."""
        if entry.serial != serial:
            return
        entry.status_url, entry.detail = attempt.status_url, attempt.detail
        if attempt.outcome == "done":
            entry.detail = ""
            self._settle(entry)
        elif attempt.outcome == "accepted" and attempt.status_url is None:
            self._settle(entry)
        elif attempt.outcome == "accepted":
            entry.not_before_s = now_s + self._config.poll_s
        else:
            entry.attempts += 1
            pause_s = min(
                self._config.backoff_first_s * 2 ** min(entry.attempts - 1, 30), self._config.backoff_max_s
            )
            entry.not_before_s = now_s + max(pause_s, attempt.retry_after_s or 0.0)

    def judge(self, now_ms: int) -> list[Entry]:
        """Those that count as failed from now on."""
        limit_ms = self._config.failed_after_s * 1000
        found = [
            entry
            for entry in self.entries.values()
            if not entry.settled
            and not entry.failed
            and (entry.attempts >= self._config.failed_after_attempts or now_ms - entry.since_ms >= limit_ms)
        ]
        for entry in found:
            entry.failed = True
        return found

    def _modes(self, state: SwitchState) -> dict[str, tuple[Command, Mode]]:
        """By trip id, for the trips that it acts on: what it is to be told. The strictest of one id."""
        modes: dict[str, tuple[Command, Mode]] = {}
        for trip in state.in_force:
            if not self._config.acts_on(trip.selector):
                continue
            mode = self._config.wanted(trip.mode)
            known = modes.get(trip.command.id)
            if known is None or RANK[mode] > RANK[known[1]]:
                modes[trip.command.id] = (trip.command, mode)
        return modes

    def _forget(self, now_ms: int) -> bool:
        """Nobody asks for ever what became of a release that was only accepted."""
        over = [
            trip_id
            for trip_id, entry in self.entries.items()
            if entry.settled and entry.wanted == "on" and now_ms - entry.since_ms > KEPT_MS
        ]
        for trip_id in over:
            del self.entries[trip_id]
        return bool(over)

    def _want(self, entry: Entry, mode: Mode, now_ms: int) -> bool:
        if entry.wanted == mode:
            return False
        entry.before, entry.wanted = entry.wanted, mode
        entry.serial += 1
        entry.since_ms, entry.attempts, entry.not_before_s = now_ms, 0, 0.0
        entry.settled = entry.failed = False
        entry.status_url, entry.detail = None, ""
        return True

    def _settle(self, entry: Entry) -> None:
        entry.settled, entry.failed = True, False
        if entry.wanted == "on" and not entry.detail:
            del self.entries[entry.trip.id]
