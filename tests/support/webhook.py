"""A real HTTP webhook on loopback that records what it gets and deduplicates by dedup key."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    """Pages as they came. `status` is what it answers: set it to 503 to take the target down."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        """Sent with every answer."""
        self.delay_s = 0.0
        self.refuse_titles_with: str | None = None
        self.requests: list[dict[str, Any]] = []
        """Every accepted message, repeats included."""
        self.attempts = 0
        self._changed = threading.Condition()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                status = webhook._take(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                for name, value in webhook.headers.items():
                    self.send_header(name, value)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """The apprise URL of this webhook."""
        return f"json://127.0.0.1:{self._server.server_port}/hook"

    @property
    def by_dedup_key(self) -> dict[str, dict[str, Any]]:
        """The incidents: the first message of each dedup key."""
        first: dict[str, dict[str, Any]] = {}
        for request in list(self.requests):
            first.setdefault(request["dedup_key"], request)
        return first

    @property
    def repeats(self) -> dict[str, int]:
        """How often each page came more than once."""
        counts = Counter(request["page_id"] for request in list(self.requests))
        return {page_id: count - 1 for page_id, count in counts.items() if count > 1}

    def wait_for(self, count: int, timeout_s: float = 20.0) -> None:
        """Block until that many messages were accepted."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout_s):
                raise AssertionError(f"{len(self.requests)} of {count} messages came in {timeout_s} s")

    def wait_for_attempts(self, count: int, timeout_s: float = 20.0) -> None:
        """Block until that many messages were sent here, accepted or not."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.attempts >= count, timeout_s):
                raise AssertionError(f"{self.attempts} of {count} attempts came in {timeout_s} s")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, message: dict[str, Any]) -> int:
        with self._changed:
            self.attempts += 1
            self._changed.notify_all()
            if self.delay_s:
                self._changed.wait(self.delay_s)
            if self.refuse_titles_with and self.refuse_titles_with in message["title"]:
                return 422
            if self.status == 200:
                self.requests.append(message)
                self._changed.notify_all()
            return self.status


@contextmanager
def running_webhook() -> Iterator[Webhook]:
    """A webhook for the length of a test."""
    webhook = Webhook()
    webhook.start()
    try:
        yield webhook
    finally:
        webhook.stop()
