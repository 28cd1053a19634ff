"""Sends one page to one target: through apprise, to PagerDuty or Opsgenie, or onto the terminal. Blocking."""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Protocol, TextIO
from urllib.parse import urlencode

from pipeline.errors import ConfigError
from pipeline.respond.alerts import is_alert_service, send_alert
from pipeline.respond.config import RespondConfig
from pipeline.respond.page import Page
from pipeline.respond.retry_after import observed
from pipeline.respond.sent import Sent, by_status
from pipeline.respond.targets import CONSOLE_URL

__all__ = ["ApprisePager", "Pager", "Sent"]

_HTTP_STATUS = re.compile(r"error=(\d{3})\b")
_TAKE_PLOTS = frozenset({"slack", "ntfy", "ntfys", "mailto", "mailtos", "json", "jsons"})
_APPRISE_TYPE = {"critical": "failure", "warning": "warning", "info": "info"}


class Pager(Protocol):
    """Sends pages. One target is never called from two threads at once."""

    def prepare(self) -> None:
        """Load what sending needs, so that the first page does not wait for it."""
        ...

    def send(self, target: str, page: Page) -> Sent:
        """Try once to deliver; returns within the configured time-out, raises nothing."""
        ...


class ApprisePager:
    """The configured targets, each URL its own apprise object so that each has its own result."""

    def __init__(self, config: RespondConfig, terminal: TextIO | None = None) -> None:
        self._config = config
        self._targets = {target.name: target for target in config.all_targets()}
        self._terminal = terminal

    def prepare(self) -> None:
        """Load apprise and its services, which takes about a second, where there is a use for them."""
        if any(target.url_env or not _is_console(target.resolved_url()) for target in self._targets.values()):
            self._service("json://localhost")

    def send(self, target: str, page: Page) -> Sent:
        """Try once to deliver `page` to the target of that name."""
        configured = self._targets.get(target)
        if configured is None:
            return Sent(outcome="misconfigured", error="no such target")
        try:
            url = configured.resolved_url()
        except ConfigError:
            return Sent(outcome="misconfigured", error=f"{configured.url_env} is not set")
        if _is_console(url):
            return _print(page, self._terminal or sys.stdout)
        if is_alert_service(url):
            return send_alert(configured, url, page, self._service, self._config)
        return self._notify(url, page)

    def check(self) -> None:
        """Raise ConfigError for the first target whose URL apprise cannot use."""
        for name, target in self._targets.items():
            url = target.resolved_url()
            if not _is_console(url) and self._service(url) is None:
                raise ConfigError(
                    f"page target {name}: apprise cannot use its URL; check the scheme and its parts "
                    "against the service's page in apprise's documentation"
                )

    def _notify(self, url: str, page: Page) -> Sent:
        import apprise

        service = self._service(_with_keys(url, page))
        if service is None:
            return Sent(outcome="misconfigured", error="apprise cannot use the URL")
        caller = apprise.Apprise(asset=service.asset)
        caller.add(service)
        with observed() as pauses_s:
            try:
                result = caller.notify(
                    title=page.title,
                    body=page.body,
                    notify_type=_apprise_type(page),
                    body_format=apprise.NotifyFormat.TEXT,
                    timeout=self._config.send_timeout_s,
                    attach=_plot(url, page),
                )
            except Exception as error:  # noqa: BLE001 (a plugin may raise anything; its text may hold the URL)
                return Sent(outcome="failed", error=type(error).__name__)
        return _judge(result, max(pauses_s, default=None))

    def _service(self, url: str) -> Any:
        import apprise

        _silence_loggers()
        # Redirects off: a POST that is redirected becomes a GET that "succeeds" and delivers nothing.
        asset = apprise.AppriseAsset(
            app_id="auditfuse",
            app_desc="auditfuse",
            http_redirects=False,
            service_timeout=self._config.send_timeout_s,
        )
        # suppress_exceptions hides a constructor's text, which may quote the secret.
        service = apprise.Apprise.instantiate(url, asset=asset)
        if service is not None:
            service.request_rate_per_sec = 0
            service.socket_connect_timeout = self._config.connect_timeout_s
            service.socket_read_timeout = self._config.send_timeout_s
            service.overflow_mode = apprise.OverflowMode.TRUNCATE
        return service


def _is_console(url: str) -> bool:
    return url.startswith(CONSOLE_URL)


def _with_keys(url: str, page: Page) -> str:
    """The URL of this page's message: each service is told, in its own way, which incident it is."""
    scheme = url.partition("://")[0].lower()
    if scheme in ("json", "jsons", "form", "forms"):
        fields = {"dedup_key": page.dedup_key, "page_id": page.page_id, "severity": page.severity}
        fields["event"] = page.event
        return _add(url, {f":{name}": value for name, value in fields.items()})
    return url


def _add(url: str, parameters: Mapping[str, str]) -> str:
    return url + ("&" if "?" in url else "?") + urlencode(parameters)


def takes_plot(url: str) -> bool:
    """Whether the service of an apprise URL takes a picture along with a message."""
    return url.partition("://")[0].lower() in _TAKE_PLOTS


def _plot(url: str, page: Page) -> Any:
    if page.plot is None or not takes_plot(url):
        return None
    from apprise.attachment.memory import AttachMemory

    return AttachMemory(content=page.plot, name="incident.png", mimetype="image/png")


def _apprise_type(page: Page) -> str:
    return "success" if page.event == "resolve" else _APPRISE_TYPE[page.severity]


def _judge(result: Any, retry_after_s: float | None) -> Sent:
    status = result.status.name
    if status == "SUCCESS":
        return Sent(outcome="sent")
    if status == "NOMATCH":
        return Sent(outcome="misconfigured", error="apprise found no service")
    if status == "TIMEOUT":
        return Sent(outcome="failed", error="time-out")
    for entry in result.logs():
        match = _HTTP_STATUS.search(entry.message)
        if match:
            return by_status(int(match.group(1)), retry_after_s)
    return Sent(outcome="failed", error="no connection, or not accepted")


def _silence_loggers() -> None:
    """Keep what these libraries log to themselves: it holds addresses, and paths that are secrets."""
    for name in ("apprise", "urllib3", "requests"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


def _print(page: Page, terminal: TextIO) -> Sent:
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    style = {"critical": "red", "warning": "yellow", "info": "cyan"}[page.severity]
    # Text, not str: rich would obey square brackets in it.
    content = Text(page.title, style="bold") + Text("\n\n") + Text(page.body, style="not bold")
    panel = Panel(content, title=f"PAGE {page.page_id}", border_style=style)
    try:
        Console(file=terminal, width=None if terminal.isatty() else 110).print(panel)
    except (OSError, ValueError):
        return Sent(outcome="failed", error="the terminal is closed")
    return Sent(outcome="sent")
