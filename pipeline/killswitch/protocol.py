"""HTTP/1.1 as uvicorn speaks it, bounded: headers by size and time, connections by number.

A client that sends its request byte by byte, or opens connections and says nothing, has each of them for
HEADERS_TIMEOUT_S, and before that as long for the TLS handshake; where all are taken, those that have been
idle longest make room for those that ask.
"""

import resource
from collections import OrderedDict
from typing import Any

import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pipeline import metrics

HANDSHAKE_TIMEOUT_S = 10.0
HEADERS_TIMEOUT_S = 10.0
MAX_HEADER_BYTES = 65_536
MAX_CONNECTIONS = 16_384
FILES_KEPT = 256
"""Open files that are left to everything but connections."""


def max_connections() -> int:
    """How many connections this process may hold, after asking the system for as many as it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + FILES_KEPT
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(64, soft - FILES_KEPT)


def bounded_protocol() -> type[HttpToolsProtocol]:
    """The protocol of one server."""
    limit = max_connections()
    idle: OrderedDict[_Bounded, None] = OrderedDict()
    return type("BoundedProtocol", (_Bounded,), {"idle": idle, "limit": limit})


class BoundedLoop(uvloop.Loop):
    """An event loop whose servers end a TLS handshake that is not done in time, not after a minute."""

    async def create_server(self, *args: Any, **options: Any) -> Any:
        """As the loop below does."""
        if options.get("ssl") is not None:
            options["ssl_handshake_timeout"] = HANDSHAKE_TIMEOUT_S
        return await super().create_server(*args, **options)


LOOP = f"{__name__}:{BoundedLoop.__name__}"
"""It, as uvicorn's setting `loop` names it."""


class _Bounded(HttpToolsProtocol):
    """One connection. `idle` are the connections of its server that have no request under way, the longest
    idle first."""

    idle: "OrderedDict[_Bounded, None]"
    limit: int
    _header_bytes = 0
    _in_headers = True
    _timer: Any = None

    def connection_made(self, transport: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make room if all connections are taken, and wait for headers, not for ever."""
        super().connection_made(transport)
        self._await_headers()
        self._mark_idle()
        while len(self.connections) > self.limit and len(self.idle) > 1:
            oldest, _ = self.idle.popitem(last=False)
            oldest.connections.discard(oldest)
            oldest.end("connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.idle.pop(self, None)
        self._cancel_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before the headers are complete."""
        if self._in_headers:
            if self._timer is None:
                self._await_headers()
            self._header_bytes += len(data)
        super().data_received(data)
        if self._in_headers and self._header_bytes > MAX_HEADER_BYTES:
            self.end("headers")

    def on_headers_complete(self) -> None:
        """A request has come: the connection is not idle until it is answered."""
        self._in_headers = False
        self._header_bytes = 0
        self._cancel_timer()
        self.idle.pop(self, None)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What comes next is the next request's headers."""
        super().on_message_complete()
        self._in_headers = True

    def on_response_complete(self) -> None:
        """Idle again, unless the next request is there already."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._mark_idle()

    def end(self, why: str) -> None:
        """Close it: it has had its time, or its room is needed."""
        metrics.control_refusals.labels(why).inc()
        self.idle.pop(self, None)
        self._cancel_timer()
        self.transport.abort()

    def _mark_idle(self) -> None:
        self.idle[self] = None
        self.idle.move_to_end(self)

    def _await_headers(self) -> None:
        self._timer = self.loop.call_later(HEADERS_TIMEOUT_S, self.end, "slow")

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
