"""Fake endpoints of PagerDuty's Events API v2 and Opsgenie's Alert API, as far as pages need them."""

from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from support.posts import WAIT_S, PostServer


class FakeAlertService(PostServer):
    """Keeps alerts by their key, as the real ones do: `alerts` says what became of each."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts: dict[str, str] = {}
        """Key → triggered, acknowledged or resolved."""
        self.calls: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        """Path, content and headers of each request."""
        self.status = 202

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_for(self, key: str, state: str, timeout_s: float = WAIT_S) -> None:
        """Block until that alert is in that state."""
        self._wait(
            lambda: self.alerts.get(key) == state,
            lambda: f"{key} is {self.alerts.get(key)}, not {state},",
            timeout_s,
        )

    def _take(self, path: str, content: dict[str, Any], headers: dict[str, str]) -> int:
        self.calls.append((path, content, headers))
        if self.status == 202:
            parts = urlsplit(path)
            if parts.path == "/v2/enqueue":
                self._pagerduty(content)
            else:
                self._opsgenie(parts.path, parse_qs(parts.query), content)
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


def running_alert_service() -> AbstractContextManager[FakeAlertService]:
    """One for the length of a test."""
    return FakeAlertService().running()
