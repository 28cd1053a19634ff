"""A webhook on loopback that receives pages, as a chat or a pager would."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OnPage = Callable[[dict[str, Any]], None]


class Webhook:
    """Collects what is posted to it, in order of arrival."""

    def __init__(self, on_page: OnPage) -> None:
        self.pages: list[dict[str, Any]] = []
        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(on_page))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    def wait_for(self, text: str, timeout_s: float) -> dict[str, Any] | None:
        """The first page whose title holds `text`, or None when the time runs out."""

        def found() -> dict[str, Any] | None:
            return next((page for page in self.pages if text in page.get("title", "")), None)

        with self._arrived:
            return self._arrived.wait_for(found, timeout_s)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self, on_page: OnPage) -> type[BaseHTTPRequestHandler]:
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                page: dict[str, Any] = json.loads(body)
                with webhook._arrived:
                    webhook.pages.append(page)
                    webhook._arrived.notify_all()
                on_page(page)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """The story is told elsewhere."""

        return Handler
