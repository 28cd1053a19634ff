"""A webhook on loopback that receives pages, as a chat or a pager would."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    """Collects what is posted to it, in order of arrival."""

    def __init__(self) -> None:
        self.pages: list[dict[str, Any]] = []
        """What apprise posted: title, message, severity, dedup_key, …"""
        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    def page_of(self, detector: str) -> dict[str, Any] | None:
        """The first page about a finding of that detector, if it has arrived."""
        return next((page for page in self.pages if f"detector {detector} " in page.get("message", "")), None)

    def wait_for(self, detector: str, timeout_s: float) -> dict[str, Any] | None:
        """The same, waiting for it; None when the time runs out."""
        with self._arrived:
            self._arrived.wait_for(lambda: self.page_of(detector) is not None, timeout_s)
        return self.page_of(detector)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                page: dict[str, Any] = json.loads(body)
                with webhook._arrived:
                    webhook.pages.append(page)
                    webhook._arrived.notify_all()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """The story is told elsewhere."""

        return Handler
