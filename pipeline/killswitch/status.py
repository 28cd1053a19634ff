"""The switch as a person sees it: one value, which the API sends and the command line prints."""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from pipeline.killswitch.actuators.ledger import ActuatorStatus
from pipeline.killswitch.attempts import AttemptsStatus
from pipeline.killswitch.book import Book, Standing
from pipeline.killswitch.enforcement import UNKNOWN, Enforcement
from pipeline.killswitch.health import Health
from pipeline.killswitch.peers import PeerStatus
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
    enforcement: Enforcement = UNKNOWN
    """Whether it has stopped what it covers: asked, enforced, not enforced or unknown."""


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


class FleetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Clients that hold a lease, and the trips in force by the state of their enforcement."""

    live_leases: int = 0
    asked: int = 0
    enforced: int = 0
    not_enforced: int = 0
    unknown: int = 0


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
    fleet: FleetStatus = FleetStatus()
    """The clients of this host, and in how many states the trips in force are."""
    attempts: AttemptsStatus = AttemptsStatus()
    """Failed attempts to authenticate."""
    parts: dict[str, PartStatus] = {}
    """Further parts by name: `topic`, where trips are published."""
    peers: list[PeerStatus] = []
    """The other control servers, as this one hears them."""
    actuators: list[ActuatorStatus] = []
    """Every trip at every actuator, releases that are not acknowledged yet included."""
    warnings: list[str] = []
    """What is wrong with where it listens."""


def status_of(
    book: Book,
    state: SwitchState,
    now_ms: int,
    *,
    enforcement: Mapping[str, Enforcement],
    live_leases: int,
    peers: list[PeerStatus],
    parts: Mapping[str, Health],
    journal: Health,
    control: Health,
    actuators: list[ActuatorStatus],
) -> Status:
    """The status of one host. The caller holds the book's lock."""
    trips = [_trip(trip.command, trip.mode, book, enforcement) for trip in state.in_force]
    return Status(
        digest=state.digest,
        at_ms=now_ms,
        trips=trips,
        requests=[_request(request, book) for request in book.open_requests()],
        unsealed=len(book.unsealed) + len(book.waiting),
        caught_up=book.caught_up,
        journal=_part(journal),
        control=_part(control),
        peers=peers,
        actuators=actuators,
        parts={name: _part(health) for name, health in parts.items()},
        fleet=_fleet(trips, live_leases),
    )


def _fleet(trips: Iterable[TripStatus], live_leases: int) -> FleetStatus:
    states = Counter(trip.enforcement.state for trip in trips)
    return FleetStatus(
        live_leases=live_leases,
        asked=states["asked"],
        enforced=states["enforced"],
        not_enforced=states["not enforced"],
        unknown=states["unknown"],
    )


def _trip(command: Command, mode: Mode, book: Book, enforcement: Mapping[str, Enforcement]) -> TripStatus:
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
        enforcement=enforcement.get(command.id, UNKNOWN),
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
