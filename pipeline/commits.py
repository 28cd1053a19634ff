"""What was found waits here for its transaction, while detection goes on.

The state database may be locked or away: then findings are stored and paged later, but nobody's trip waits
for that. What waits is merged into one transaction, since it is the ends that count.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from pipeline import metrics
from pipeline.clock import NowMs
from pipeline.detect.model import Found
from pipeline.errors import AuditfuseError
from pipeline.respond.state import ConsumedElsewhere, StateDatabase
from pipeline.respond.tables import ALL
from pipeline.tail import Key

log = structlog.get_logger()

POLL_S = 0.5
RETRY_S = 1.0
QUIET_CHECK_INTERVAL_S = 30.0
MAX_WAITING = 4_096
"""Findings: with more, detection waits for the database too."""


class Commits:
    """The transactions of one watch, in its order. `put` never waits for the database."""

    def __init__(
        self, state: StateDatabase, on_committed: Callable[[], None], now_ms: NowMs, shard: str = ALL
    ) -> None:
        """`on_committed` is called whenever there may be something to tell. `shard`: whose ends they are."""
        self._shard = shard
        self._state = state
        self._on_committed = on_committed
        self._now_ms = now_ms
        self._queue = threading.Lock()
        """Guards what waits; never held while the database is used."""
        self._database = threading.Lock()
        """Held by who uses the database, so that transactions come one after the other."""
        self._arrived = threading.Event()
        self._found: list[Found] = []
        self._trips: dict[str, str] = {}
        self._folded: dict[Key, int] = {}
        self._committed: dict[Key, int] = {}
        self._watermark_ms: int | None = None
        self._is_following = False
        self._quiet_check_at = 0.0
        self.is_stale = False
        """Another process has consumed these rows: begin again from the stored ends."""

    @property
    def ends(self) -> Mapping[Key, int]:
        """The sealed ends committed."""
        return self._committed

    @property
    def is_full(self) -> bool:
        """Whether as much waits as may."""
        return len(self._found) >= MAX_WAITING

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        with self._queue:
            return self._folded == self._committed and not self._found

    def begin(self) -> Mapping[Key, int]:
        """Forget what waits; returns the stored ends, to build detection from. Raises StateUnavailable."""
        with self._database:
            ends = self._state.sealed_ends(self._shard)
            with self._queue:
                self._found, self._trips = [], {}
                self._folded, self._committed = dict(ends), ends
                self.is_stale = self._is_following = False
        return ends

    def put(
        self,
        found: Sequence[Found],
        trips: Mapping[str, str],
        ends: Mapping[Key, int],
        watermark_ms: int | None,
    ) -> None:
        """What was found up to these ends, by finding id what was done about it, and the detectors' time."""
        with self._queue:
            self._found += found
            self._trips.update(trips)
            self._folded.update(ends)
            self._watermark_ms, self._is_following = watermark_ms, True
            metrics.findings_waiting.set(len(self._found))
        self._arrived.set()

    def flush(self) -> None:
        """Commit what waits, if anything does. Raises StateUnavailable, ConsumedElsewhere."""
        with self._database:
            with self._queue:
                found, trips, ends = list(self._found), dict(self._trips), dict(self._folded)
            steps = {
                key: (self._committed.get(key, 0), end)
                for key, end in ends.items()
                if end != self._committed.get(key)
            }
            if not steps and not found:
                return
            self._state.consume(found, steps, self._now_ms(), trips, self._shard)
            with self._queue:
                self._committed = ends
                del self._found[: len(found)]
                self._trips = {id_: done for id_, done in self._trips.items() if id_ not in trips}
                metrics.findings_waiting.set(len(self._found))
        if found:
            self._on_committed()

    def resolve_quiet(self) -> None:
        """Resolve quiet incidents now and then, while nothing waits that may belong to one. Of a shard, whose
        findings are not all, it resolves none: the responder does."""
        now = time.monotonic()
        if self._shard != ALL or now < self._quiet_check_at or not self._is_following or not self.is_empty:
            return
        self._quiet_check_at = now + QUIET_CHECK_INTERVAL_S
        with self._database:
            resolved = self._state.resolve_quiet(self._now_ms(), self._watermark_ms)
        if resolved:
            self._on_committed()

    def run(self, stop: threading.Event) -> None:
        """Commit whatever comes; after `stop`, what waits then, if the database takes it."""
        while not stop.is_set():
            self._arrived.wait(POLL_S)
            self._arrived.clear()
            if not self._attempt():
                stop.wait(RETRY_S)
        self._attempt()

    def _attempt(self) -> bool:
        if self.is_stale:
            return False
        try:
            self.flush()
            self.resolve_quiet()
        except ConsumedElsewhere as error:
            log.error("findings not stored", error=str(error))
            self.is_stale = True
        except AuditfuseError as error:
            log.error("findings not stored yet, will be tried again", error=str(error))
        except Exception as error:  # noqa: BLE001 (whatever it is: what was found must not be lost)
            log.error("findings not stored yet, will be tried again", error=type(error).__name__)
        else:
            return True
        return False
