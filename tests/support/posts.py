"""A real HTTP server on loopback that takes JSON by POST, for what pages are sent to."""

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

WAIT_S = 20.0


class PostServer(ABC):
    """A subclass says what becomes of a request. `headers` are sent with every answer."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self._changed = threading.Condition()
        """Held while a request is taken, and told of it."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                try:
                    content = json.loads(body)
                except ValueError:  # whoever sent it was killed meanwhile
                    return
                with server._changed:
                    status = server._take(self.path, content, dict(self.headers))
                    server._changed.notify_all()
                self.send_response(status)
                self.send_header("Content-Length", "0")
                for name, value in server.headers.items():
                    self.send_header(name, value)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @abstractmethod
    def _take(self, path: str, content: dict[str, Any], headers: dict[str, str]) -> int:
        """Take a request; the status of its answer."""

    @property
    def port(self) -> int:
        return self._server.server_port

    @contextmanager
    def running(self) -> Generator[Self]:
        """Listening for the length of the block."""
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def _wait(self, condition: Callable[[], bool], told: Callable[[], str], timeout_s: float) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, timeout_s):
                raise AssertionError(f"{told()} after {timeout_s:g} s")
