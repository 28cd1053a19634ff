"""The switch as a person sees it: one value, which the API sends and the command line prints."""

import msgspec

from pipeline.killswitch.book import Book, Standing
from pipeline.killswitch.health import Health
from pipeline.killswitch.state import SwitchState
from schemas.command import Command, Mode, Selector


class TripStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A trip in force."""

    id: str
    mode: Mode
    """The mode in force, after any step down."""
    selector: Selector
    by: str
    reason: str
    automatic: bool
    at_ms: int
    until_ms: int | None
    finding_id: str | None
    standing: Standing


class RequestStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A reset request that waits for a second person."""

    id: str
    trips: list[str]
    mode: Mode
    by: str
    reason: str
    at_ms: int
    standing: Standing


class PartStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a part works, and for how long it has not."""

    working: bool
    fault: str | None
    failing_s: float | None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The whole switch."""

    digest: str
    at_ms: int
    trips: list[TripStatus]
    requests: list[RequestStatus]
    unsealed: int
    """Commands whose record is not sealed yet."""
    caught_up: bool
    """Whether `_control` was read since the start."""
    journal: PartStatus
    control: PartStatus


def status_of(book: Book, state: SwitchState, now_ms: int, *, journal: Health, control: Health) -> Status:
    """The status of one host. The caller holds the book's lock."""
    return Status(
        digest=state.digest,
        at_ms=now_ms,
        trips=[_trip(trip.command, trip.mode, book) for trip in state.in_force],
        requests=[_request(request, book) for request in book.open_requests()],
        unsealed=len(book.unsealed) + len(book.waiting),
        caught_up=book.caught_up,
        journal=_part(journal),
        control=_part(control),
    )


def _trip(command: Command, mode: Mode, book: Book) -> TripStatus:
    return TripStatus(
        id=command.id,
        mode=mode,
        selector=command.selector or Selector(),
        by=command.by,
        reason=command.reason,
        automatic=command.automatic,
        at_ms=command.at_ms,
        until_ms=command.until_ms,
        finding_id=command.finding_id,
        standing=book.standing(command.id),
    )


def _request(command: Command, book: Book) -> RequestStatus:
    return RequestStatus(
        id=command.id,
        trips=command.trips,
        mode=command.mode or "on",
        by=command.by,
        reason=command.reason,
        at_ms=command.at_ms,
        standing=book.standing(command.id),
    )


def _part(health: Health) -> PartStatus:
    return PartStatus(working=health.fault is None, fault=health.fault, failing_s=health.failing_s)
