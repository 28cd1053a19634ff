"""A stand-in for the control server that answers leases, flags and streams as a test tells it to.

Right, wrong, late or not at all; what the real server answers is tested against the real one.
"""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from auditfuse_client import Stopped

STREAM_TURN_S = 0.01


def trip(
    trip_id: str = "trip_1", mode: str = "off", tool: str | None = None, **fields: Any
) -> dict[str, Any]:
    """A trip as the server sends it."""
    selector = {"environment": None, "agent": None, "version": None, "tool": tool}
    pace = 6 if mode == "throttle" else None
    return {"id": trip_id, "mode": mode, "selector": selector, "throttle_per_minute": pace, **fields}


def state(*trips: dict[str, Any], digest: str = "d0", **fields: Any) -> dict[str, Any]:
    """What is told of the trips in force."""
    return {"host": "host_stub", "digest": digest, "at_ms": 1, "trips": [*trips], **fields}


def grant(*trips: dict[str, Any], lease_s: float = 15, renew_s: float = 5, **fields: Any) -> dict[str, Any]:
    """The answer to a lease request."""
    return state(*trips, lease_s=lease_s, renew_s=renew_s, **fields)


class LeaseStub:
    """`answer` is a status and a body (bytes as they are, else JSON); `flags` answers OFREP."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answer: tuple[int, Any] = (200, grant())
        self.flags: Callable[[dict[str, Any]], Any] = lambda context: False
        self.asked: list[dict[str, Any]] = []
        self.flags_asked: list[dict[str, Any]] = []
        self.goodbyes: list[str] = []
        self.authorizations: list[str | None] = []
        self.connections = 0
        self.hangs_up = False
        """Whether it closes each connection after an answer, without a word before."""
        self.before_answer: Callable[[], None] = lambda: None
        """Runs while a lease request waits for its answer, which was settled before."""
        self.events: list[dict[str, Any]] = []
        """What the stream sends, once each, to whoever follows."""
        self.streams = 0
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, address: None  # guards that end hang up
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    @property
    def acknowledged(self) -> list[str | None]:
        return [asked["acknowledges"] for asked in list(self.asked)]

    def stop(self) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def stream(self, write: Callable[[bytes], Any]) -> None:
        self.streams += 1
        write(b": here\n\n")
        sent = 0
        while not self._ended.wait(STREAM_TURN_S):
            for event in self.events[sent:]:
                sent += 1
                write(b"event: state\r\ndata: " + json.dumps(event).encode() + b"\r\n\r\n")


def _handler(stub: LeaseStub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def setup(self) -> None:
            stub.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            stub.authorizations.append(self.headers["Authorization"])
            if self.path == "/v1/leases":
                stub.asked.append(body)
                answer = stub.answer
                stub.before_answer()
                return self._send(*answer)
            stub.flags_asked.append(body["context"])
            key, value = self.path.rpartition("/")[2], stub.flags(body["context"])
            return self._send(200, value if isinstance(value, bytes) else {"key": key, "value": value})

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            self.close_connection = True
            try:
                stub.stream(self._send_chunk)
            except OSError:
                return

        def do_DELETE(self) -> None:
            stub.goodbyes.append(self.path.rpartition("/")[2])
            self._send(204, b"")

        def _send_chunk(self, content: bytes) -> None:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
            self.wfile.flush()

        def _send(self, status: int, content: Any) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
            self.close_connection = self.close_connection or stub.hangs_up

        def log_message(self, format: str, *args: object) -> None:
            return

    return Handler


@contextmanager
def running_stub(tls: ssl.SSLContext | None = None) -> Iterator[LeaseStub]:
    """A stub for the length of a test."""
    stub = LeaseStub(tls)
    try:
        yield stub
    finally:
        stub.stop()


def refused(guard, action="write", **more):
    """What a check raised; None where it let the action through."""
    try:
        guard.check(action=action, **more)
    except Stopped as stopped:
        return stopped
    return None
