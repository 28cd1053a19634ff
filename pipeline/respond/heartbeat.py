"""The heartbeat: a monitor elsewhere hears that this is still watching, and raises the alarm otherwise.

Sent only while detection and delivery work. It is the only page that needs nothing of ours to arrive.
"""

from collections.abc import Callable

import structlog

from pipeline import metrics
from pipeline.clock import NowMs
from pipeline.respond.targets import HeartbeatConfig

Hindrance = Callable[[], str | None]
"""Why nobody should be told that all is well, in plain words; None where all is."""
OFF_S = 60.0
_log = structlog.get_logger("auditfuse.respond")


class Heartbeat:
    """One beat a round. Blocking."""

    def __init__(self, config: HeartbeatConfig, hindrance: Hindrance, now_ms: NowMs) -> None:
        self._config = config
        self._hindrance = hindrance
        self._now_ms = now_ms
        self._told: str | None = None

    def step(self) -> float:
        """Send one beat if all is well; returns the seconds until the next."""
        url = self._config.resolved_url()
        if url is None:
            return OFF_S
        fault = self._hindrance() or self._send(url)
        if fault is None:
            metrics.heartbeat_time.set(self._now_ms() / 1000)
        if fault != self._told:
            self._told = fault
            if fault is None:
                _log.info("heartbeat_sent_again")
            else:
                _log.error("heartbeat_not_sent", fault=fault)
        return self._config.interval_s

    def _send(self, url: str) -> str | None:
        import requests

        limit_s = self._config.timeout_s
        try:
            with requests.request(
                self._config.method, url, timeout=(limit_s, limit_s), allow_redirects=False, stream=True
            ) as answer:
                return None if answer.ok and not answer.is_redirect else f"HTTP {answer.status_code}"
        except requests.RequestException as error:
            return type(error).__name__  # its text holds the address
