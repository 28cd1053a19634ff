"""The leases of one control host: which clients it has heard, until when, and what each has acknowledged.

Pure: no clock of its own, no lock, no I/O. A client counts its lease from the sending of its request, this
book from its arrival, so a lease never ends here before it has ended there; GRACE_S covers what their
clocks differ by within one lease.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from typing import NamedTuple

import msgspec

from pipeline.errors import AuditfuseError
from pipeline.killswitch.state import RANK, SwitchState, TripInForce
from schemas.command import Mode

GRACE_S = 1.0
KEPT_S = 3600.0
"""How long an ended lease is remembered: its client has stopped, which is what a trip wants to know."""
MAX_DIGESTS = 256
AGENTS_SHARE = 4
"""One agent may hold at most this fraction of all leases (a quarter): it must not shut others out."""


class LeaseError(AuditfuseError):
    """A lease that is not granted: 409, the client is another's; 503, there are too many."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Identity(NamedTuple):
    """Whom a client speaks for."""

    agent: str
    environment: str | None
    version: str | None


class Lease:
    """One client's lease. Times are seconds of the host's monotonic clock."""

    __slots__ = ("acknowledged", "began_s", "ends_s", "identity", "under_way_since_s")

    def __init__(self, identity: Identity, began_s: float) -> None:
        self.identity = identity
        self.began_s = began_s
        """The first of the renewals without a gap."""
        self.ends_s = began_s
        self.acknowledged: dict[str, Mode] = {}
        """The trips that it enforces, and the mode of each when it was acknowledged."""
        self.under_way_since_s: tuple[float, ...] = ()
        """When each action began that it has reported as still under way."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The clients that one trip covers."""

    acknowledged: int = 0
    waiting: int = 0
    """Live, not acknowledged yet, and still within the time that a lease lasts."""
    late: int = 0
    """Live, and not acknowledged although a whole lease has gone by."""
    ended: int = 0
    """Leases that have ended since the trip: their clients have failed closed."""
    under_way: int = 0
    """Actions begun before the trip that acknowledged clients have reported as still under way."""

    def plus(self, other: "Counts") -> "Counts":
        """Both together."""
        return Counts(
            acknowledged=self.acknowledged + other.acknowledged,
            waiting=self.waiting + other.waiting,
            late=self.late + other.late,
            ended=self.ended + other.ended,
            under_way=self.under_way + other.under_way,
        )


class LeaseBook:
    """Who has a lease. `lease_s` is how long one lasts; `max_leases` bounds them, ended ones included."""

    def __init__(self, lease_s: float, max_leases: int) -> None:
        self.lease_s = lease_s
        self._max_leases = max_leases
        self._leases: OrderedDict[str, Lease] = OrderedDict()  # by last renewal: who ends first is first
        self._per_agent: Counter[str] = Counter()
        self._digests: OrderedDict[str, dict[str, Mode]] = OrderedDict()
        self._served_s: dict[str, float] = {}

    def serve(self, state: SwitchState, now_s: float) -> None:
        """This is what clients are told from now on."""
        trips: dict[str, Mode] = {}
        for trip in state.in_force:  # of two trips with one id, the stricter must be acknowledged
            known = trips.get(trip.command.id)
            if known is None or RANK[trip.mode] > RANK[known]:
                trips[trip.command.id] = trip.mode
        self._served_s = {trip_id: self._served_s.get(trip_id, now_s) for trip_id in trips}
        self._digests[state.digest] = trips
        self._digests.move_to_end(state.digest)
        while len(self._digests) > MAX_DIGESTS:
            self._digests.popitem(last=False)

    def renew(
        self,
        client: str,
        identity: Identity,
        now_s: float,
        *,
        acknowledges: str | None = None,
        under_way_s: Collection[float] = (),
    ) -> bool:
        """Grant or renew a lease; `under_way_s` are the ages of actions under way.

        Returns False where it acknowledges a digest that this host has not served (a host just restarted
        has not): the lease is granted, the acknowledgement counts for nothing. Raises LeaseError.
        """
        lease = self._leases.get(client)
        if lease is None:
            self._make_room(identity.agent, now_s)
            lease = self._leases[client] = Lease(identity, now_s)
            self._per_agent[_key(identity.agent)] += 1
        elif lease.identity != identity:
            raise LeaseError(409, "this client id speaks for another agent, environment or version")
        elif self._has_ended(lease, now_s):
            lease.began_s = now_s
        lease.ends_s = now_s + self.lease_s
        lease.under_way_since_s = tuple(now_s - age_s for age_s in under_way_s)
        lease.acknowledged = self._digests.get(acknowledges or "", {})
        self._leases.move_to_end(client)
        return acknowledges is None or acknowledges in self._digests

    def identity(self, client: str) -> Identity | None:
        """Whom a client speaks for; None if it is not known."""
        lease = self._leases.get(client)
        return lease.identity if lease else None

    def release(self, client: str, now_s: float) -> bool:
        """A client's goodbye: from now on it allows nothing. False if it is not known."""
        lease = self._leases.get(client)
        if lease is None:
            return False
        lease.ends_s = min(lease.ends_s, now_s - GRACE_S)
        return True

    def live(self, now_s: float) -> int:
        """How many leases have not ended."""
        return sum(not self._has_ended(lease, now_s) for lease in self._leases.values())

    def counts(
        self, covering: Callable[[Identity], tuple[TripInForce, ...]], now_s: float
    ) -> dict[str, Counts]:
        """By trip id: the clients that the trips in force cover."""
        found = dict.fromkeys(self._served_s, Counts())
        for lease in self._leases.values():
            for trip in covering(lease.identity):
                served_s = self._served_s.get(trip.command.id)
                if served_s is not None:
                    found[trip.command.id] = found[trip.command.id].plus(
                        self._count(lease, trip, served_s, now_s)
                    )
        return found

    def _count(self, lease: Lease, trip: TripInForce, served_s: float, now_s: float) -> Counts:
        if self._has_ended(lease, now_s):
            return Counts(ended=int(lease.ends_s + GRACE_S >= served_s))
        acknowledged = lease.acknowledged.get(trip.command.id, "on")
        if RANK[acknowledged] >= RANK[trip.mode]:
            under_way = sum(began_s <= served_s for began_s in lease.under_way_since_s)
            return Counts(acknowledged=1, under_way=under_way)
        is_late = now_s > max(served_s, lease.began_s) + self.lease_s + GRACE_S
        return Counts(late=1) if is_late else Counts(waiting=1)

    def _has_ended(self, lease: Lease, now_s: float) -> bool:
        return now_s >= lease.ends_s + GRACE_S

    def _make_room(self, agent: str, now_s: float) -> None:
        """Forget ended leases, the oldest first: those long gone, and more where there is no room."""
        while self._leases:
            client, oldest = next(iter(self._leases.items()))
            long_gone = now_s > oldest.ends_s + KEPT_S
            if not long_gone and not (self._is_full(agent) and self._has_ended(oldest, now_s)):
                break
            del self._leases[client]
            self._per_agent[_key(oldest.identity.agent)] -= 1
            if not self._per_agent[_key(oldest.identity.agent)]:
                del self._per_agent[_key(oldest.identity.agent)]
        if self._is_full(agent):
            raise LeaseError(
                503, f"too many leases: at most {self._max_leases}, and a quarter of them for one agent"
            )

    def _is_full(self, agent: str) -> bool:
        return len(self._leases) >= self._max_leases or self._per_agent[_key(agent)] >= max(
            1, self._max_leases // AGENTS_SHARE
        )


def _key(agent: str) -> str:
    return agent.strip().casefold()
