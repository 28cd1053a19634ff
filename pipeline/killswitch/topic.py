"""The compacted Kafka topic: every trip in force under its id, for programs that follow it without HTTP.

    key <trip id>   the trip as JSON; a tombstone once it is lifted
    key state       the digest of all trips in force, and how many they are

Each control host writes it from a thread of its own, which begins again with whatever fails: nothing waits
for Kafka. A host ends only trips that it knows to be lifted, so that one that is behind loosens nothing.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import structlog

from pipeline import metrics
from pipeline.clock import NowMs, system_now_ms
from pipeline.errors import AuditfuseError
from pipeline.killswitch.health import Health, fault_of
from pipeline.killswitch.state import TripInForce, digest_of
from pipeline.killswitch.switch import KillSwitch
from schemas.command import Mode, Selector

STATE_KEY = "state"
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 15.0
LOOK_S = 30.0
"""How often a lifted trip that another host left behind is looked for."""
STOP_S = 3.0

log = structlog.get_logger()


class TopicTrip(msgspec.Struct, frozen=True, kw_only=True):
    """A trip in force, as the topic tells it."""

    id: str
    mode: Mode
    """The mode in force, after any step down."""
    selector: Selector
    throttle_per_minute: int | None
    by: str
    reason: str
    automatic: bool
    at_ms: int
    until_ms: int | None
    finding_id: str | None


class TopicState(msgspec.Struct, frozen=True, kw_only=True):
    """What one host serves, to compare the trips with."""

    digest: str
    trips: int
    host: str
    at_ms: int


class KeyedProducer(Protocol):
    """What appends to the topic."""

    async def start(self) -> None:
        """Connect."""
        ...

    async def append(self, values: list[bytes | None], *, key: bytes) -> object:
        """Append under a key; None is a tombstone."""
        ...

    async def stop(self) -> None:
        """Disconnect."""
        ...


LiveKeys = Callable[[], Awaitable[set[bytes]]]
"""The keys that the topic holds a value of."""


class TopicPublisher:
    """The one thread that writes the topic of this host."""

    def __init__(
        self,
        switch: KillSwitch,
        producer: Callable[[], KeyedProducer],
        live_keys: LiveKeys,
        now_ms: NowMs = system_now_ms,
    ) -> None:
        self._switch = switch
        self._new_producer = producer
        self._live_keys = live_keys
        self._now_ms = now_ms
        self._thread = threading.Thread(target=self._run, name="killswitch-topic", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._stopping = False
        self._published: dict[str, bytes] = {}
        self._left_behind: set[str] = set()
        self.health = Health()

    def start(self) -> None:
        """Begin to publish."""
        self._switch.add_part("topic", lambda: self.health)
        self._switch.subscribe(self._wake)
        self._thread.start()

    def stop(self) -> None:
        """Publish what is served, if Kafka takes it at once, and end."""
        self._stopping = True
        self._wake()
        self._thread.join(STOP_S)

    def _wake(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._changed.set)

    def _run(self) -> None:
        asyncio.run(self._publish_for_ever())

    async def _publish_for_ever(self) -> None:
        self._loop = asyncio.get_running_loop()
        backoff_s = FIRST_BACKOFF_S
        while True:
            try:
                await self._publish()
                return
            except Exception as error:  # noqa: BLE001 (whatever fails: nothing may depend on Kafka)
                fault = str(error) if isinstance(error, AuditfuseError) else fault_of(error)
                self.health = self.health.after(fault, "the topic of trips", metrics.topic_failing)
            if self._stopping:
                return
            await self._wait(backoff_s)
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)

    async def _publish(self) -> None:
        """Publish until the stop, or until something fails."""
        producer = self._new_producer()
        await producer.start()
        try:
            keys = {key.decode(errors="replace") for key in await self._live_keys()}
            self._published = {}  # what was published before the fault may not have been taken
            self._left_behind = keys - {STATE_KEY}
            while True:
                self._changed.clear()
                await self._catch_up(producer)
                self.health = self.health.after(None, "the topic of trips", metrics.topic_failing)
                if self._stopping:
                    return
                await self._wait(LOOK_S)
        finally:
            await producer.stop()

    async def _catch_up(self, producer: KeyedProducer) -> None:
        shared = self._switch.to_share()
        wanted = {trip.command.id: self._value(trip) for trip in shared}
        for trip_id, value in wanted.items():
            if self._published.get(trip_id) != value:
                await producer.append([value], key=trip_id.encode())
                self._published[trip_id] = value
        gone = (self._published.keys() | self._left_behind) - wanted.keys() - {STATE_KEY}
        for trip_id in sorted(gone):
            if self._switch.is_lifted(trip_id):
                await producer.append([None], key=trip_id.encode())
                self._published.pop(trip_id, None)
                self._left_behind.discard(trip_id)
        digest = digest_of(shared)
        if self._published.get(STATE_KEY) != digest.encode():
            host = self._switch.leases.host
            told = TopicState(digest=digest, trips=len(shared), host=host, at_ms=self._now_ms())
            await producer.append([msgspec.json.encode(told)], key=STATE_KEY.encode())
            self._published[STATE_KEY] = digest.encode()

    async def _wait(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()

    def _value(self, trip: TripInForce) -> bytes:
        command = trip.command
        per_minute = self._switch.config.throttle_per_minute
        return msgspec.json.encode(
            TopicTrip(
                id=command.id,
                mode=trip.mode,
                selector=trip.selector,
                throttle_per_minute=per_minute if trip.mode == "throttle" else None,
                by=command.by,
                reason=command.reason,
                automatic=command.automatic,
                at_ms=command.at_ms,
                until_ms=command.until_ms,
                finding_id=command.finding_id,
            )
        )
