"""Keeps the journal: writes trips, takes up what others wrote there, ends time-limited trips.

Its own thread, so that a journal that hangs holds up neither serving nor sealing.
"""

import threading
from collections.abc import Callable

import structlog

from pipeline import metrics
from pipeline.clock import NowMs
from pipeline.killswitch import compose
from pipeline.killswitch.book import Book, blind_trip
from pipeline.killswitch.health import Health, Loop, fault_of
from pipeline.killswitch.journal import Journal, Scan, unreadable_trip

POLL_S = 0.2
"""How often the directory is read: trips of a command line that found no server."""
HELD_FOR_PEERS_MS = 5000
"""How long a peer's trip waits for its reason. It is served before."""
STOP_S = 2.0

log = structlog.get_logger()


class JournalKeeper:
    """The one thread that writes trips to the journal and reads its directory."""

    def __init__(
        self,
        journal: Journal,
        book: Book,
        lock: threading.RLock,
        *,
        now_ms: NowMs,
        publish: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._book = book
        self._now_ms = now_ms
        self._publish = publish
        self._changed = threading.Condition(lock)
        self._loop = Loop("killswitch-journal", self._step)
        self._after_change: Callable[[], None] = lambda: None
        self._complained: set[str] = set()
        self.health = Health()

    def load(self) -> None:
        """Take up the journal before anything is served. A journal that cannot be made is a fault, not
        an end; one that is there and cannot be read blinds the switch, which then stops everything."""
        try:
            cache = self._journal.load_cache()
        except (OSError, ValueError) as error:
            self._blind("cache", "the journal's memory of sealed trips cannot be read", error)
        else:
            if cache is not None:
                with self._changed:
                    self._book.restore(cache)
        self._step()
        with self._changed:
            self._publish()

    def start(self, after_change: Callable[[], None]) -> None:
        """Start the thread. `after_change` is called when there is something to seal."""
        self._after_change = after_change
        self._loop.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._loop.stop(STOP_S)

    def write_soon(self, trip_id: str, timeout_s: float) -> None:
        """Have a trip written, and wait for it at most `timeout_s`."""
        self._loop.wake()
        with self._changed:
            self._changed.wait_for(lambda: self._book.standing(trip_id) != "volatile", timeout_s)

    def _step(self) -> float:
        fault = self._prepare() or self._write()
        try:
            with self._changed:
                known = {**self._book.unsealed, **self._book.sealed}
            self._take_up(self._journal.scan(known))
        except OSError as error:
            fault = fault_of(error)
            self._blind("journal", "the journal cannot be read", error)
        self._expire()
        self.health = self.health.after(fault, "the journal", metrics.journal_failing)
        return POLL_S

    def _prepare(self) -> str | None:
        try:
            self._journal.prepare()
        except OSError as error:
            return fault_of(error)
        return None

    def _write(self) -> str | None:
        """Write the trips that are in memory alone. Returns the fault if any."""
        with self._changed:
            self._book.release_overdue(self._now_ms() - HELD_FOR_PEERS_MS)
            written = self._book.journaled | self._book.held
            volatile = [trip for trip in self._book.unsealed.values() if trip.id not in written]
        fault = None
        for trip in volatile:
            try:
                self._journal.add(trip)
            except OSError as error:
                fault = fault_of(error)
                if trip.id not in self._complained:
                    self._complained.add(trip.id)
                    log.error("trip is VOLATILE: a restart before it is sealed forgets it", trip=trip.id)
                continue
            with self._changed:
                self._book.journaled.add(trip.id)
                self._publish()
                self._changed.notify_all()
        return fault

    def _take_up(self, scan: Scan) -> None:
        """Serve the trips that the directory holds and that are not known yet."""
        with self._changed:
            new = [trip for trip in scan.trips.values() if self._book.add_trip(trip)]
            for trip_id, why in scan.unreadable.items():
                if self._book.add_trip(unreadable_trip(trip_id, why, self._now_ms())):
                    log.error(
                        "journal file of a trip is unreadable: EVERYTHING is stopped", trip=trip_id, why=why
                    )
                    new.append(self._book.unsealed[trip_id])
            self._book.journaled = set(scan.trips)  # a file that was taken away is written again
            seeing_again = self._book.blind.pop("journal", None) is not None
            if new or seeing_again:
                self._publish()
        for trip in new:
            log.warning("kill switch tripped from the journal", trip=trip.id, mode=trip.mode)
        for name in scan.strange:
            if name not in self._complained:
                self._complained.add(name)
                log.error("the journal holds a file that is no trip's; it is ignored", file=name[:100])
        if new:
            self._after_change()

    def _expire(self) -> None:
        """Ask for the end of trips whose time has come; served only once that is sealed."""
        now_ms = self._now_ms()
        with self._changed:
            ended = self._book.ended(now_ms)
            for trip in ended:
                self._book.add_waiting(compose.new_expire(trip, now_ms))
        if ended:
            self._after_change()

    def _blind(self, cause: str, text: str, error: Exception) -> None:
        with self._changed:
            if cause not in self._book.blind:
                log.error(
                    f"{text}: EVERYTHING is stopped until it is known what was tripped", fault=fault_of(error)
                )
                self._book.blind[cause] = blind_trip(text, self._now_ms())
                self._publish()
