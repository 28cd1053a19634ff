"""Server-sent events: every change of the switch reaches every stream within milliseconds.

A stream that cannot be written to within WRITE_TIMEOUT_S is ended: its client asks again, and lives on its
lease, which no stream extends.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

from starlette.types import Receive, Send

from pipeline.killswitch.leases import Identity, LeaseError
from pipeline.killswitch.state import SwitchState, TripInForce
from pipeline.killswitch.switch import KillSwitch

COMMENT_S = 5.0
ALLOWED_S = 0.5
"""How often a stream looks whether its token is still good."""
WRITE_TIMEOUT_S = 10.0
MAX_STREAMS = 4096
HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]

EventFor = Callable[[Identity], tuple[SwitchState, tuple[TripInForce, ...], bytes]]
"""What is served now and, for such a client, the trips that cover it and the event's content."""


class _Stream:
    """One stream: whose it is, what it was told last, and whether there may be more to tell."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.changed = asyncio.Event()
        self.digest: str | None = None
        self.trips: tuple[TripInForce, ...] = ()


class Streams:
    """The streams of one server, all in its event loop."""

    def __init__(self, switch: KillSwitch, event_for: EventFor) -> None:
        self._switch = switch
        self._event_for = event_for
        self._open: set[_Stream] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        switch.subscribe(self._wake)

    def close(self) -> None:
        """End all streams. From any thread."""
        self._closing = True
        self._wake()

    async def serve(
        self, identity: Identity, receive: Receive, send: Send, is_allowed: Callable[[], bool]
    ) -> None:
        """One stream, until its client, its right or the server goes. Raises LeaseError beyond the limit."""
        if len(self._open) >= MAX_STREAMS:
            raise LeaseError(503, f"too many streams: at most {MAX_STREAMS}; poll instead")
        self._loop = asyncio.get_running_loop()
        stream = _Stream(identity)
        self._open.add(stream)
        gone = asyncio.create_task(_until_gone(receive, stream.changed))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await self._tell(stream, send, lambda: is_allowed() and not gone.done())
            await _write(send, b"", more=False)
        except TimeoutError:
            return  # not taken in time; the server closes the connection
        finally:
            self._open.discard(stream)
            gone.cancel()

    async def _tell(self, stream: _Stream, send: Send, goes_on: Callable[[], bool]) -> None:
        comment_at_s = time.monotonic() + COMMENT_S
        while not self._closing and goes_on():
            stream.changed.clear()
            if self._switch.state.digest != stream.digest:
                state, stream.trips, content = self._event_for(stream.identity)
                await _write(send, b"event: state\ndata: " + content + b"\n\n")
                stream.digest = state.digest
            if time.monotonic() >= comment_at_s:
                await _write(send, b": still here\n\n")
                comment_at_s = time.monotonic() + COMMENT_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ALLOWED_S):
                    await stream.changed.wait()

    def _wake(self) -> None:
        """From the thread that changed the switch, which holds its lock."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        """Whom the change concerns is told first."""
        leases = self._switch.leases
        others: list[_Stream] = []
        for stream in self._open:
            if leases.covering(stream.identity)[1] == stream.trips:
                others.append(stream)
            else:
                stream.changed.set()
        for stream in others:
            stream.changed.set()


async def _until_gone(receive: Receive, changed: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    changed.set()


async def _write(send: Send, content: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await send({"type": "http.response.body", "body": content, "more_body": more})
