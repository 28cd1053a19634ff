"""What one host knows of the kill switch's commands, and how safe each is. No I/O, no clock, no lock.

A trip is *volatile* (in memory alone), *journaled* or *sealed*; it is served in each case. What loosens is
*waiting* until it is sealed, and only then has an effect.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from pipeline.killswitch import state
from pipeline.killswitch.journal import SealedCache
from pipeline.killswitch.peers import PeerTrip
from pipeline.killswitch.policy import PastTrip
from pipeline.killswitch.state import TripInForce
from pipeline.killswitch.timeline import Timeline, timelines
from schemas.command import Command, Mode, Selector

Standing = Literal["volatile", "journaled", "sealed", "waiting", "unknown"]

MAX_LIFTED_IDS = 10_000


class Book:
    """The commands of one host. The caller holds a lock around every call."""

    def __init__(self) -> None:
        self.unsealed: dict[str, Command] = {}
        """Trips whose record is not sealed yet."""
        self.journaled: set[str] = set()
        """Those of them that the journal holds."""
        self.held: set[str] = set()
        """Trips that are served and not written anywhere yet: their reason is being redacted."""
        self.of_peers: dict[str, int] = {}
        """Those of them that a peer serves, and since when here (ms): it says when they may be written."""
        self.waiting: dict[str, Command] = {}
        """What loosens once it is sealed."""
        self.sealed: dict[str, Command] = {}
        self.sealed_offset = -1
        """The highest offset of `_control` that was read."""
        self.caught_up = False
        """Whether `_control` was read since the start; until then `sealed` is the journal's memory of it."""
        self.blind: dict[str, Command] = {}
        """By cause: trips of everything while it is not known what was tripped before."""
        self._lifted: dict[str, None] = {}
        self.state = state.fold([], {})
        """As of the last fold, which follows every change of what is known."""

    def fold(self) -> state.SwitchState:
        """Fold anew; the state to serve."""
        self.state = state.fold([*self.unsealed.values(), *self.blind.values()], self.sealed)
        return self.state

    def add_trip(self, trip: Command) -> bool:
        """Take up a trip; False if it is known already, in force or lifted."""
        if trip.id in self.unsealed or trip.id in self.sealed or trip.id in self._lifted:
            return False
        self.unsealed[trip.id] = trip
        return True

    def hold(self, trip: Command) -> bool:
        """As `add_trip`, for one whose reason is not fit to be written yet: that waits for `release`."""
        self.held.add(trip.id)
        return self.add_trip(trip)

    def release(self, trip: Command) -> None:
        """Let a held trip be written, as it is now."""
        self.held.discard(trip.id)
        self.unsealed[trip.id] = trip

    def take_up(self, trip: Command, *, held: bool, at_ms: int) -> bool:
        """Take up a trip that a peer serves, or what a held one says now; False if that is known already."""
        if trip.id in self.of_peers and not held:
            del self.of_peers[trip.id]
            self.held.discard(trip.id)
            if trip.id in self.unsealed:  # else it was sealed meanwhile, by that peer
                self.unsealed[trip.id] = trip
            return True
        if not self.add_trip(trip):
            return False
        if held:
            self.held.add(trip.id)
            self.of_peers[trip.id] = at_ms
        return True

    def release_overdue(self, before_ms: int) -> None:
        """Let trips be written that a peer has not spoken of again: it may be gone."""
        for trip_id in [one for one, at_ms in self.of_peers.items() if at_ms < before_ms]:
            del self.of_peers[trip_id]
            self.held.discard(trip_id)

    def to_share(self) -> list[TripInForce]:
        """The trips in force, but for those of this host's own blindness."""
        blind = {trip.id for trip in self.blind.values()}
        return [trip for trip in self.state.in_force if trip.command.id not in blind]

    def to_tell(self) -> list[PeerTrip]:
        """The trips in force that peers must serve too."""
        return [PeerTrip(trip=one.command, held=one.command.id in self.held) for one in self.to_share()]

    def is_lifted(self, trip_id: str) -> bool:
        """Whether this trip is known to be in force no more."""
        in_force = any(trip.command.id == trip_id for trip in self.state.in_force)
        return trip_id in self._lifted or (trip_id in self.sealed and not in_force)

    def add_waiting(self, command: Command) -> None:
        """Take up what loosens once it is sealed."""
        if command.id not in self.sealed:
            self.waiting[command.id] = command

    def restore(self, cache: SealedCache) -> None:
        """Begin with what the journal remembers of `_control`."""
        self.sealed = {command.id: command for command in cache.commands}
        self.sealed_offset = cache.offset
        self._lifted = dict.fromkeys(cache.lifted)

    def replace_sealed(self, rows: Iterable[tuple[int, Command | None]]) -> list[str]:
        """Take `_control`, read from its start, for the truth. Returns the ids of remembered trips that it
        has lost (a store put back from a backup): they stay in force and are appended again."""
        remembered, self.sealed = self.sealed, {}
        self.sealed_offset = -1
        self.add_sealed(rows)
        self.caught_up = True
        lost = [c for c in remembered.values() if c.command == "trip" and c.id not in self.sealed]
        self.unsealed.update((trip.id, trip) for trip in lost)
        return [trip.id for trip in lost]

    def add_sealed(self, rows: Iterable[tuple[int, Command | None]]) -> bool:
        """Take up rows of `_control` as (offset, command); True if any was new."""
        before = len(self.sealed)
        for offset, command in rows:
            self.sealed_offset = max(self.sealed_offset, offset)
            if command is not None:
                self.sealed.setdefault(command.id, command)
                self._settle(command.id)
        return len(self.sealed) != before

    def mark_sealed(self, commands: Iterable[Command]) -> None:
        """These were appended to `_control` by this host."""
        for command in commands:
            self.sealed.setdefault(command.id, command)
            self._settle(command.id)

    def to_append(self) -> list[Command]:
        """What `_control` lacks: trips first, as they were made, then a request before its approval."""
        trips = [trip for trip in self.unsealed.values() if trip.id not in self.held]
        # A journal has no order of its own.
        return [*sorted(trips, key=lambda trip: trip.at_ms), *self.waiting.values()]

    def standing(self, command_id: str) -> Standing:
        """How safe a command is."""
        if command_id in self.sealed:
            return "sealed"
        if command_id in self.unsealed:
            return "journaled" if command_id in self.journaled else "volatile"
        return "waiting" if command_id in self.waiting else "unknown"

    def request(self, request_id: str) -> Command | None:
        """A reset request, sealed or waiting."""
        command = self.sealed.get(request_id) or self.waiting.get(request_id)
        return command if command is not None and command.command == "reset_request" else None

    def open_requests(self) -> list[Command]:
        """Requests that nobody has approved and that still name a trip in force."""
        commands = [*self.sealed.values(), *self.waiting.values()]
        approved = {c.request_id for c in commands if c.command == "reset_approval"}
        in_force: dict[str, Mode] = {trip.command.id: trip.mode for trip in self.state.in_force}
        return [
            request
            for request in commands
            if request.command == "reset_request"
            and request.id not in approved
            and any(_would_loosen(request, in_force.get(trip_id, "on")) for trip_id in request.trips)
        ]

    def ended(self, now_ms: int) -> list[Command]:
        """Trips in force whose end has come and whose expiry is not under way."""
        expiring = {trip_id for c in self.waiting.values() if c.command == "expire" for trip_id in c.trips}
        return [
            trip.command
            for trip in self.state.in_force
            if trip.command.until_ms is not None
            and trip.command.until_ms <= now_ms
            and trip.command.id not in expiring
        ]

    def cache(self) -> SealedCache:
        """What a restart without the store must know, compacted."""
        live = {trip.command.id for trip in self.state.in_force}
        trips = [c.id for c in self.sealed.values() if c.command == "trip"]
        lifted = dict.fromkeys([*self._lifted, *(trip_id for trip_id in trips if trip_id not in live)])
        wanted = [c for c in self.sealed.values() if c.id in live or live.intersection(c.trips)]
        return SealedCache(offset=self.sealed_offset, commands=wanted, lifted=list(lifted)[-MAX_LIFTED_IDS:])

    def past_trips(self) -> list[PastTrip]:
        """The automatic trips that this host remembers, for the policy's limits."""
        in_force: dict[str, Mode] = {trip.command.id: trip.mode for trip in self.state.in_force}
        lifted_at = _lifted_at(self.sealed)
        trips = {c.id: c for c in (*self.sealed.values(), *self.unsealed.values()) if c.command == "trip"}
        return [
            PastTrip(
                trip_id=trip.id,
                finding_id=trip.finding_id,
                selector=trip.selector or Selector(),
                mode=in_force.get(trip.id, "on"),
                at_ms=trip.at_ms,
                lifted_at_ms=None if trip.id in in_force else lifted_at.get(trip.id),
                loosened_at_ms=lifted_at.get(trip.id),
            )
            for trip in trips.values()
            if trip.automatic
        ]

    def timelines(self) -> list[Timeline]:
        """Every trip that this host remembers, and what it was loosened to and when."""
        return timelines([*self.unsealed.values(), *self.blind.values()], self.sealed)

    def _settle(self, command_id: str) -> None:
        self.unsealed.pop(command_id, None)
        self.waiting.pop(command_id, None)


def blind_trip(cause: str, at_ms: int) -> Command:
    """The trip of everything that stands in while what was tripped before cannot be read."""
    return Command(
        id="trip_" + secrets.token_hex(6),
        command="trip",
        at_ms=at_ms,
        by="auditfuse",
        automatic=False,
        reason=f"{cause}; until it is known again what was tripped, everything is",
        selector=Selector(),
        mode="off",
    )


def _would_loosen(request: Command, mode: Mode) -> bool:
    return state.RANK[request.mode or "on"] < state.RANK[mode]


def _lifted_at(sealed: Mapping[str, Command]) -> dict[str, int]:
    """By trip id, when it was last loosened."""
    moments: dict[str, int] = {}
    loosened: Mapping[str, Collection[tuple[Command, Mode]]] = state.loosened(sealed)
    for trip_id, commands in loosened.items():
        moments[trip_id] = max(command.at_ms for command, _ in commands)
    return moments
