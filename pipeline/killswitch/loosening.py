"""What loosens trips: a request and another person's approval, or a step down of an automatic trip.

Each only waits in the book here; it has its effect once it is sealed.
"""

import threading
from collections.abc import Callable, Sequence

from pipeline.clock import NowMs
from pipeline.killswitch import compose
from pipeline.killswitch.book import Book
from pipeline.killswitch.compose import CommandError
from pipeline.killswitch.state import RANK, TripInForce, same_person
from pipeline.redact.reasons import Redact
from schemas.command import Command, Mode

REASON_WAIT_S = 10.0
"""How long a reason may take to be redacted: what loosens is in no hurry."""


class Loosening:
    """Thread-safe, by the lock of the book. All raise CommandError for what must not be."""

    def __init__(
        self,
        book: Book,
        lock: threading.RLock,
        *,
        redact: Redact,
        seal: Callable[[], None],
        now_ms: NowMs,
    ) -> None:
        """`seal` has what waits sealed soon."""
        self._book = book
        self._lock = lock
        self._redact = redact
        self._seal = seal
        self._now_ms = now_ms

    def request_reset(self, trips: Sequence[str], *, by: str, reason: str, mode: Mode) -> Command:
        """Ask for trips to be loosened to `mode`."""
        command = compose.new_reset_request(
            trips=trips, by=by, reason=reason, at_ms=self._now_ms(), mode=mode
        )
        command = compose.fit_to_keep(command, self._redact, REASON_WAIT_S)
        with self._lock:
            in_force = self._require_in_force(command.trips)
            if all(RANK[trip.mode] <= RANK[mode] for trip in in_force):
                raise CommandError("conflict", f"none of these trips is stricter than {mode}")
            self._book.add_waiting(command)
        self._seal()
        return command

    def approve_reset(self, request_id: str, *, by: str, reason: str) -> Command:
        """Approve a request as a second person."""
        fit_reason = self._redact(reason, REASON_WAIT_S)[: compose.MAX_REASON_CHARS]
        with self._lock:
            request = self._book.request(request_id)
            if request is None:
                raise CommandError("unknown", f"there is no reset request {request_id[:80]}")
            if request not in self._book.open_requests():
                raise CommandError(
                    "conflict", f"request {request.id} is approved already, or its trips are lifted"
                )
            if same_person(request.by, by):
                raise CommandError(
                    "conflict", f"{by.strip()[:200]} made this request; another person must approve it"
                )
            command = compose.new_reset_approval(
                request=request, by=by, reason=fit_reason, at_ms=self._now_ms()
            )
            self._book.add_waiting(command)
        self._seal()
        return command

    def step_down(self, trips: Sequence[str], *, by: str, reason: str) -> Command:
        """Take automatic trips down to read_only as one person."""
        command = compose.new_step_down(trips=trips, by=by, reason=reason, at_ms=self._now_ms())
        command = compose.fit_to_keep(command, self._redact, REASON_WAIT_S)
        with self._lock:
            for trip in self._require_in_force(command.trips):
                trip_id = trip.command.id
                if not trip.command.automatic:
                    raise CommandError("conflict", f"{trip_id} was made by a person: only a reset loosens it")
                if RANK[trip.mode] <= RANK["read_only"]:
                    raise CommandError("conflict", f"{trip_id} is at {trip.mode} already")
            self._book.add_waiting(command)
        self._seal()
        return command

    def _require_in_force(self, trip_ids: Sequence[str]) -> list[TripInForce]:
        in_force = {trip.command.id: trip for trip in self._book.state.in_force}
        missing = [trip_id for trip_id in trip_ids if trip_id not in in_force]
        if missing:
            raise CommandError("unknown", f"no trip in force has the id {missing[0][:80]}")
        return [in_force[trip_id] for trip_id in trip_ids]
