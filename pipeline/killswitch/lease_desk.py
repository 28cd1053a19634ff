"""Gives out leases and says what each trip's clients do: the book of leases with its lock and its clock."""

import secrets
import threading
from collections.abc import Callable, Collection

from pipeline import metrics
from pipeline.killswitch.contexts import Aliases, context_of
from pipeline.killswitch.enforcement import Enforcement, Report, enforcement_of
from pipeline.killswitch.leases import GRACE_S, Counts, Identity, LeaseBook
from pipeline.killswitch.peers import Elsewhere
from pipeline.killswitch.state import SwitchState, TripInForce

MAX_REMEMBERED = 16_384
MAX_REPORTS = 64
"""Of one trip: actuators have few names."""

ALONE = Elsewhere()

NowS = Callable[[], float]
"""Seconds of a clock that never goes back."""


class LeaseDesk:
    """Thread-safe. Until the longest lease that an earlier process may have given out has ended, it vouches
    for nothing: clients may live on that lease and not be in this book yet."""

    def __init__(self, lease_s: float, max_leases: int, aliases: Aliases, now_s: NowS) -> None:
        self.host = "host_" + secrets.token_hex(6)
        self._book = LeaseBook(lease_s, max_leases)
        self._aliases = aliases
        self._now_s = now_s
        self._vouches_from_s = now_s() + lease_s + GRACE_S
        self._lock = threading.Lock()
        self._state = SwitchState((), "")
        self._covering: dict[Identity, tuple[TripInForce, ...]] = {}
        self._reports: dict[str, dict[str, Report]] = {}

    def outlive(self, earlier_lease_s: float) -> None:
        """An earlier process may have given out leases of so many seconds."""
        self._vouches_from_s = max(self._vouches_from_s, self._now_s() + earlier_lease_s + GRACE_S)

    def serve(self, state: SwitchState) -> None:
        """This is what clients are told from now on."""
        with self._lock:
            self._state = state
            self._covering = {}
            self._book.serve(state, self._now_s())
            in_force = {trip.command.id for trip in state.in_force}
            self._reports = {trip: some for trip, some in self._reports.items() if trip in in_force}

    def renew(
        self,
        client: str,
        identity: Identity,
        *,
        acknowledges: str | None = None,
        under_way_s: Collection[float] = (),
    ) -> tuple[SwitchState, tuple[TripInForce, ...]]:
        """Grant or renew; returns what is served and the trips that cover this client. Raises LeaseError."""
        with self._lock:
            known = self._book.renew(
                client, identity, self._now_s(), acknowledges=acknowledges, under_way_s=under_way_s
            )
            if not known:
                metrics.control_refusals.labels("digest").inc()
            return self._state, self._covering_of(identity)

    def covering(self, identity: Identity) -> tuple[SwitchState, tuple[TripInForce, ...]]:
        """What is served now, and the trips that cover such a client, whatever the tool."""
        with self._lock:
            return self._state, self._covering_of(identity)

    def identity(self, client: str) -> Identity | None:
        """Whom a client speaks for; None if it is not known."""
        with self._lock:
            return self._book.identity(client)

    def release(self, client: str) -> bool:
        """A client's goodbye. False if it is not known."""
        with self._lock:
            return self._book.release(client, self._now_s())

    def report(self, trip_id: str, report: Report) -> None:
        """Take up what an actuator or a finding says of a trip in force; its next word replaces this one."""
        with self._lock:
            if any(trip.command.id == trip_id for trip in self._state.in_force):
                some = self._reports.setdefault(trip_id, {})
                if report.source in some or len(some) < MAX_REPORTS:
                    some[report.source] = report

    def counts(self) -> tuple[bool, dict[str, Counts]]:
        """Whether this host vouches for its clients yet, and by trip what they do."""
        with self._lock:
            now_s = self._now_s()
            return now_s >= self._vouches_from_s, self._book.counts(self._covering_of, now_s)

    def live(self) -> int:
        """How many clients hold a lease."""
        with self._lock:
            return self._book.live(self._now_s())

    def enforcement(self, elsewhere: Elsewhere = ALONE) -> dict[str, Enforcement]:
        """By trip in force, with what the peers count."""
        vouches, counted = self.counts()
        silent = [] if vouches else ["clients from before this server's start"]
        with self._lock:
            return {
                trip_id: enforcement_of(
                    counts.plus(elsewhere.counts(trip_id)),
                    self._reports.get(trip_id, {}).values(),
                    [*silent, *elsewhere.silent(trip_id)],
                )
                for trip_id, counts in counted.items()
            }

    def _covering_of(self, identity: Identity) -> tuple[TripInForce, ...]:
        trips = self._covering.get(identity)
        if trips is None:
            context = context_of(
                [identity.agent], self._aliases, environment=identity.environment, version=identity.version
            )
            trips = self._state.matching(context)
            if len(self._covering) >= MAX_REMEMBERED:
                self._covering.clear()
            self._covering[identity] = trips
        return trips
