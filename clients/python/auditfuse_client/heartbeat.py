"""The edge: two threads, one renews the lease, the other follows the stream of changes."""

import logging
import secrets
import threading
from typing import NamedTuple

from auditfuse_client import calls
from auditfuse_client.answers import AnswerError, read_state
from auditfuse_client.calls import Identity
from auditfuse_client.decision import Trip
from auditfuse_client.errors import CallError
from auditfuse_client.lease import Clock, Lease
from auditfuse_client.link import MAX_ANSWER_BYTES, Link, Server
from auditfuse_client.sse import EventReader
from auditfuse_client.steps import Steps

FIRST_RETRY_S = 0.2
RETRY_S_MAX = 5.0
"""Until the server has said how often to renew: that is the longest wait then."""
STREAM_SILENCE_S = 12.0
"""The server says something every 5 s."""
GOODBYE_TIMEOUT_S = 1.0
EARLIEST_SHARE = 0.9
"""Renewals come between this share of renew_s and the whole of it, so that clients spread out."""

log = logging.getLogger("auditfuse_client")
_random = secrets.SystemRandom()


class View(NamedTuple):
    """What checks read: one value, replaced as a whole. `open` remembers what these trips let through."""

    until_s: float
    lease: Lease
    trips: tuple[Trip, ...]
    open: set[tuple[str, str | None]]


class Heartbeat:
    """Keeps one client's lease. `view` may be read without a lock; `restart` is for a forked child."""

    def __init__(self, server: Server, me: Identity, clock: Clock, *, stream: bool, timeout_s: float) -> None:
        self._server, self._me, self._clock = server, me, clock
        self._streams, self._timeout_s = stream, timeout_s
        self._calling = Link(server, clock)
        self._following = Link(server, clock)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.client = secrets.token_hex(16)
        self.view = View(float("-inf"), Lease(), (), set())
        self.steps = Steps()
        self.last_error: str | None = None
        self.is_following = False
        self.is_closed = False
        self._retry_s_max = RETRY_S_MAX
        self.tried = threading.Event()
        """Set once the first request has had its answer, or has failed."""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> bool:
        """Start the threads, unless they run. Whether it did."""
        with self._lock:
            if self._threads or self.is_closed:
                return False
            loops = [("auditfuse-lease", self._renew_on)]
            if self._streams:
                loops.append(("auditfuse-stream", self._follow_on))
            self._threads = [threading.Thread(target=run, name=name, daemon=True) for name, run in loops]
            for thread in self._threads:
                thread.start()
            return True

    def restart(self) -> None:
        """In a forked child: another client, which knows nothing. Its threads start with its first check."""
        closed = self.is_closed
        self._calling.abandon()
        self._following.abandon()
        self._begin_anew()
        self.is_closed = closed

    def close(self) -> None:
        """Stop and give the lease back; blocks for at most a few seconds. What is asked later is refused."""
        with self._lock:
            was_closed, self.is_closed = self.is_closed, True
            leased = self._clock() < self.view.until_s
            self.view = View(float("-inf"), self.view.lease, self.view.trips, set())
        if was_closed:
            return
        self._ended.set()
        self._wake.set()
        self._calling.break_off()
        self._following.break_off()
        for thread in self._threads:
            thread.join(GOODBYE_TIMEOUT_S)
        if leased:
            try:
                calls.say_goodbye(Link(self._server, self._clock), self.client, GOODBYE_TIMEOUT_S)
            except CallError:
                return

    def asked(self) -> dict[str, object]:
        """The next lease request."""
        return {
            "client": self.client,
            "agent": self._me.agent,
            "environment": self._me.environment,
            "version": self._me.version,
            "acknowledges": self.view.lease.digest,
            "under_way": self.steps.report(self._clock()),
        }

    def _renew_on(self) -> None:
        retry_s = FIRST_RETRY_S
        while not self._ended.is_set():
            self._wake.clear()
            try:
                wait_s = self._renew()
                retry_s = FIRST_RETRY_S
            except Exception as error:  # noqa: BLE001 (whatever it is, the next try may do better)
                self._failed(str(error) if isinstance(error, CallError | AnswerError) else repr(error))
                wait_s, retry_s = retry_s, min(2 * retry_s, self._retry_s_max)
            self.tried.set()
            self._wake.wait(wait_s * _random.uniform(EARLIEST_SHARE, 1.0))
        self._calling.close()

    def _renew(self) -> float:
        """Renew once; the seconds until the next time: none where this brought trips to acknowledge."""
        grant, sent_s = calls.renew(self._calling, self.asked(), self._clock, self._timeout_s)
        with self._lock:
            enforced = set(self.view.trips)
            self._enforce(self.view.lease.after_grant(grant, sent_s))
            is_new = bool(set(self.view.trips) - enforced)
        self._retry_s_max = grant.renew_s
        if self.last_error is not None:
            self.last_error = None
            log.warning("the kill switch is heard again")
        return 0.0 if is_new else grant.renew_s

    def _follow_on(self) -> None:
        retry_s = FIRST_RETRY_S
        while not self._ended.is_set():
            try:
                incoming = calls.follow(self._following, self.client, self._me, self._timeout_s)
                reader = EventReader(MAX_ANSWER_BYTES)
                while not self._ended.is_set():
                    self._take(reader, incoming.lines(STREAM_SILENCE_S))
                    self.is_following, retry_s = True, FIRST_RETRY_S
            except Exception as error:  # noqa: BLE001 (without the stream, renewals bring what changes)
                log.debug("the stream of the kill switch: %s", error)
                self._wake.set()
            self.is_following = False
            self._following.close()
            self._ended.wait(retry_s * _random.uniform(EARLIEST_SHARE, 1.0))
            retry_s = min(2 * retry_s, self._retry_s_max)

    def _take(self, reader: EventReader, lines: list[bytes]) -> None:
        for line in lines:
            event = reader.take(line)
            if event is None or event.name != "state":
                continue
            try:
                told = read_state(event.content)
            except AnswerError as error:
                raise CallError(f"the stream: {error}") from None
            with self._lock:
                enforced = set(self.view.trips)
                self._enforce(self.view.lease.after_event(told, self._clock()))
            if set(told.trips) != enforced:
                self._wake.set()  # what concerns others alone is acknowledged with the next renewal

    def _enforce(self, lease: Lease) -> None:
        """Serve checks from this lease now. The caller holds the lock."""
        if self.is_closed:
            return
        trips = lease.trips
        known = self.view.open if trips == self.view.trips else set[tuple[str, str | None]]()
        self.view = View(lease.until_s, lease, trips, known)

    def _failed(self, text: str) -> None:
        if self.last_error is None and not self._ended.is_set():
            log.warning("the kill switch is not heard: %s", text)
        self.last_error = text
