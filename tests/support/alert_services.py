"""Fake endpoints of PagerDuty's Events API v2 and Opsgenie's Alert API, as far as pages need them."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class FakeAlertService:
    """Keeps alerts by their key, as the real ones do: `alerts` says what became of each."""

    def __init__(self) -> None:
        self.alerts: dict[str, str] = {}
        """Key → triggered, acknowledged or resolved."""
        self.calls: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        """Path, content and headers of each request."""
        self.status = 202
        self.headers: dict[str, str] = {}
        self._changed = threading.Condition()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
                status = service._take(self.path, content, dict(self.headers))
                self.send_response(status)
                for name, value in service.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def wait_for(self, key: str, state: str, timeout_s: float = 20.0) -> None:
        """Block until that alert is in that state."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.alerts.get(key) == state, timeout_s):
                raise AssertionError(f"{key} is {self.alerts.get(key)}, not {state}, after {timeout_s} s")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, path: str, content: dict[str, Any], headers: dict[str, str]) -> int:
        with self._changed:
            self.calls.append((path, content, headers))
            if self.status == 202:
                parts = urlsplit(path)
                if parts.path == "/v2/enqueue":
                    self._pagerduty(content)
                else:
                    self._opsgenie(parts.path, parse_qs(parts.query), content)
            self._changed.notify_all()
            return self.status

    def _pagerduty(self, content: dict[str, Any]) -> None:
        words = {"trigger": "triggered", "acknowledge": "acknowledged", "resolve": "resolved"}
        self.alerts[content["dedup_key"]] = words[content["event_action"]]

    def _opsgenie(self, path: str, query: dict[str, list[str]], content: dict[str, Any]) -> None:
        if path == "/v2/alerts":
            self.alerts[content["alias"]] = "triggered"
            return
        assert query["identifierType"] == ["alias"]
        _, _, _, key, verb = path.split("/")
        self.alerts[unquote(key)] = {"close": "resolved", "acknowledge": "acknowledged"}[verb]


@contextmanager
def running_alert_service() -> Generator[FakeAlertService]:
    """One for the length of a test."""
    service = FakeAlertService()
    service.start()
    try:
        yield service
    finally:
        service.stop()
