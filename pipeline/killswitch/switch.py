"""The kill switch of one host: serves trips at once, journals them, seals their record behind.

The order of a trip is fixed: serve (memory), journal (its own volume), answer, seal (the store). Nothing on
the way to serving waits for a disk, a broker or a database; a journal that fails or hangs leaves the trip
served as *volatile*. Loosening goes the other way round: sealed first, then served.
"""

import threading
import time
from collections.abc import Callable, Sequence

import msgspec
import structlog

from pipeline import metrics
from pipeline.clock import NowMs, system_now_ms
from pipeline.killswitch import compose
from pipeline.killswitch.actuators.ledger import ActuatorStatus
from pipeline.killswitch.book import Book, Standing
from pipeline.killswitch.config import MAX_LEASE_S, KillSwitchConfig
from pipeline.killswitch.health import Health
from pipeline.killswitch.journal import Journal
from pipeline.killswitch.keeper import JournalKeeper
from pipeline.killswitch.lease_desk import LeaseDesk, NowS
from pipeline.killswitch.loosening import Loosening
from pipeline.killswitch.peers import Peers, PeerTrip
from pipeline.killswitch.policy import PastTrip
from pipeline.killswitch.sealer import Append, ReadSealed, Sealer
from pipeline.killswitch.state import Approvals, NoApprovals, SwitchState, TripInForce
from pipeline.killswitch.status import Status, status_of
from pipeline.killswitch.timeline import Timeline
from pipeline.redact.reasons import WITHHELD, Redact, as_it_is
from schemas.command import MODES, Command, Mode, Selector

JOURNAL_WAIT_S = 0.5
"""How long a trip's answer waits for the journal. The trip is served before."""
TRIP_REASON_WAIT_S = 0.5
"""How long the journal waits for a trip's reason to be redacted. The trip is served before."""

StandsFor = Callable[[str, str], bool]
"""(a redacted name, a name) → whether the one is the other after redaction. Never raises."""

log = structlog.get_logger()


class KillSwitch:
    """Thread-safe. `state` is one immutable value, replaced as a whole; reading it takes no lock.

    `append(commands)` seals commands in `_control` and returns the ids that are sealed now, those that
    were there before included; `read_sealed(after_offset)` returns later rows as (offset, command or None).
    Both may block and may raise; they are called from a thread of their own. `redact` makes a person's
    words fit to be kept; nobody sees them before. `stands_for` finds an agent under its redacted name.
    """

    def __init__(
        self,
        config: KillSwitchConfig,
        *,
        append: Append,
        read_sealed: ReadSealed,
        approvals: Approvals | None = None,
        redact: Redact | None = None,
        stands_for: StandsFor | None = None,
        now_ms: NowMs = system_now_ms,
        now_s: NowS = time.monotonic,
    ) -> None:
        self.config = config
        self._redact = redact or as_it_is
        self._stands_for = stands_for or _stands_for_none
        self._redacted_agents: tuple[str, ...] = ()
        self.approvals: Approvals = approvals or NoApprovals()
        self._now_ms = now_ms
        self._lock = threading.RLock()
        self._book = Book()
        self._state = self._book.fold()
        self._volatile: frozenset[str] = frozenset()
        self._journal = journal = Journal(config.journal)
        self.leases = LeaseDesk(config.lease_s, config.max_leases, self.aliases, now_s)
        self.peers = Peers(config, self.leases.host, self._to_tell, now_s)
        self.actuators: Callable[[], list[ActuatorStatus]] = list
        """How trips stand at the actuators, where any run."""
        self._subscribers: list[Callable[[], None]] = [self.peers.wake]
        self._parts: dict[str, Callable[[], Health]] = {}
        self._keeper = JournalKeeper(journal, self._book, self._lock, now_ms=now_ms, publish=self._publish)
        self._sealer = Sealer(
            journal, self._book, self._lock, append=append, read_sealed=read_sealed, publish=self._publish
        )
        self._loosening = Loosening(
            self._book, self._lock, redact=self._redact, seal=self._sealer.wake, now_ms=now_ms
        )

    @property
    def state(self) -> SwitchState:
        """What is served now."""
        return self._state

    @property
    def caught_up(self) -> bool:
        """Whether `_control` has been read since the start. Before, the journal's memory is served."""
        return self._book.caught_up

    def start(self) -> None:
        """Load the journal, serve what it holds, and start to keep it and to seal."""
        self.load()
        try:
            self.leases.outlive(self._journal.longest_lease_s(self.config.lease_s))
        except (OSError, ValueError):
            self.leases.outlive(MAX_LEASE_S)
        self.peers.start()
        self._keeper.start(after_change=self._sealer.wake)
        self._sealer.start()

    def load(self) -> None:
        """Load the journal alone: what a server that starts without the store would serve."""
        self._keeper.load()

    def stop(self) -> None:
        """Stop all threads; waits a little for what they have under way."""
        self.peers.stop()
        self._keeper.stop()
        self._sealer.stop()

    def trip(
        self,
        selector: Selector,
        mode: Mode,
        *,
        by: str,
        reason: str,
        until_ms: int | None = None,
        finding_id: str | None = None,
        automatic: bool = False,
    ) -> Command:
        """Trip: served when this returns, and journaled unless `standing` says volatile.

        The same finding trips once, however often it is handed in. Raises CommandError for nonsense.
        """
        began_ms = self._now_ms()
        command = compose.new_trip(
            selector=selector,
            mode=mode,
            by=by,
            reason=reason,
            at_ms=began_ms,
            until_ms=until_ms,
            finding_id=finding_id,
            automatic=automatic,
        )
        with metrics.trip_seconds.time(), self._lock:
            added = self._book.add_trip(command) if automatic else self._book.hold(_without_reason(command))
            if added:
                self._publish()
        if not automatic:
            command = self._release(command)
        self._keeper.write_soon(command.id, JOURNAL_WAIT_S)
        self._sealer.wake()
        if added:
            log.warning("kill switch tripped", trip=command.id, mode=mode, automatic=automatic)
        return command

    def take_up(self, trips: Sequence[PeerTrip]) -> None:
        """Serve what a peer serves. What is known already, in force or lifted, changes nothing."""
        at_ms = self._now_ms()
        with self._lock:
            new = [one.trip.id for one in trips if self._book.take_up(one.trip, held=one.held, at_ms=at_ms)]
            if new:
                self._publish()
        if new:
            log.warning("kill switch tripped by a peer", trips=new)
            self._keeper.write_soon(new[0], 0.0)
            self._sealer.wake()

    def request_reset(self, trips: Sequence[str], *, by: str, reason: str, mode: Mode = "on") -> Command:
        """Ask for trips to be lifted (or loosened to `mode`). Nothing changes before another approves."""
        return self._loosening.request_reset(trips, by=by, reason=reason, mode=mode)

    def approve_reset(self, request_id: str, *, by: str, reason: str) -> Command:
        """Approve a request as a second person. It takes effect when both are sealed."""
        return self._loosening.approve_reset(request_id, by=by, reason=reason)

    def step_down(self, trips: Sequence[str], *, by: str, reason: str) -> Command:
        """Take automatic trips down to read_only as one person, once it is sealed."""
        return self._loosening.step_down(trips, by=by, reason=reason)

    def subscribe(self, on_publish: Callable[[], None]) -> None:
        """Have this called after every change of what is served: under the lock, so it must only wake."""
        with self._lock:
            self._subscribers.append(on_publish)

    def add_part(self, name: str, health: Callable[[], Health]) -> None:
        """Have the status tell of a further part."""
        self._parts[name] = health

    def faults(self) -> dict[str, str]:
        """What of the switch does not work, by name, with the reason. Takes no lock."""
        parts = {"journal": self._keeper.health, "_control": self._sealer.health}
        parts |= {name: health() for name, health in self._parts.items()}
        return {name: health.fault for name, health in parts.items() if health.fault is not None}

    def to_share(self) -> list[TripInForce]:
        """The trips in force that others follow; not those of this host's own blindness."""
        with self._lock:
            return self._book.to_share()

    def is_lifted(self, trip_id: str) -> bool:
        """Whether this trip is known to be in force no more."""
        with self._lock:
            return self._book.is_lifted(trip_id)

    def standing(self, command_id: str) -> Standing:
        """How safe a command is: volatile, journaled, sealed, waiting (to be sealed) or unknown."""
        with self._lock:
            return self._book.standing(command_id)

    def is_volatile(self, trip_id: str) -> bool:
        """Whether a trip is served from memory alone. Takes no lock: for the path of every evaluation."""
        return trip_id in self._volatile

    def aliases(self, name: str) -> list[str]:
        """The redacted names among the agents tripped that stand for this one."""
        if len(name) > compose.MAX_SELECTOR_CHARS:
            return []  # covered by every trip as it is
        return [redacted for redacted in self._redacted_agents if self._stands_for(redacted, name)]

    def is_stored_as(self, redacted: str, name: str) -> bool:
        """Whether a redacted name stands for this one."""
        return len(name) <= compose.MAX_SELECTOR_CHARS and self._stands_for(redacted, name)

    def wait_sealed(self, command_id: str, timeout_s: float) -> bool:
        """Wait until a command is sealed; False after `timeout_s`."""
        return self._sealer.wait_for(lambda: self._book.standing(command_id) == "sealed", timeout_s)

    def history(self) -> list[PastTrip]:
        """The automatic trips that are remembered, for `policy.decide`."""
        with self._lock:
            return self._book.past_trips()

    def commands(self) -> list[Command]:
        """Every command that this host remembers: for who is told of them."""
        with self._lock:
            book = self._book
            return [*book.sealed.values(), *book.unsealed.values(), *book.waiting.values()]

    def timelines(self) -> list[Timeline]:
        """The trips that are remembered, with their modes over time: for the detector of what came after."""
        with self._lock:
            return self._book.timelines()

    def status(self) -> Status:
        """Everything about the switch that a person may want to see."""
        actuators = self.actuators()
        enforcement = self.leases.enforcement(self.peers.elsewhere())
        with self._lock:
            return status_of(
                self._book,
                self._state,
                self._now_ms(),
                enforcement=enforcement,
                peers=self.peers.status(self._state.digest),
                live_leases=self.leases.live(),
                parts={name: health() for name, health in self._parts.items()},
                journal=self._keeper.health,
                control=self._sealer.health,
                actuators=actuators,
            )

    def _to_tell(self) -> list[PeerTrip]:
        with self._lock:
            return self._book.to_tell()

    def _release(self, command: Command) -> Command:
        """Have a trip that is served written too, once its reason is fit to be kept."""
        command = compose.fit_to_keep(command, self._redact, TRIP_REASON_WAIT_S)
        with self._lock:
            self._book.release(command)
            self._publish()
        return command

    def _publish(self) -> None:
        """Serve what the book says now. The caller holds the lock."""
        state = self._book.fold()
        agents = {trip.selector.agent or "" for trip in state.in_force}
        # Before the state: whoever sees a trip knows whom it names.
        self._redacted_agents = tuple(sorted(agent for agent in agents if "<" in agent))
        self._state = state
        self.leases.serve(state)
        for subscriber in self._subscribers:
            subscriber()
        for mode in MODES[1:]:
            count = sum(trip.mode == mode for trip in self._state.in_force)
            metrics.trips_in_force.labels(mode).set(count)
        metrics.trips_unsealed.set(len(self._book.unsealed))
        self._volatile = frozenset(self._book.unsealed.keys() - self._book.journaled)
        metrics.trips_volatile.set(len(self._volatile))


def _without_reason(command: Command) -> Command:
    return msgspec.structs.replace(command, reason=WITHHELD)


def _stands_for_none(redacted: str, name: str) -> bool:
    del redacted, name
    return False
