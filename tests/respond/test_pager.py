"""What goes out to each service, and what never gets into a log or an error."""

import io
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import pytest
from pydantic import SecretStr, ValidationError
from support.alert_services import FakeAlertService, running_alert_service
from support.respond import START_MS
from support.webhook import running_webhook

from pipeline.errors import ConfigError
from pipeline.respond.config import RespondConfig
from pipeline.respond.page import Page, sample
from pipeline.respond.pager import ApprisePager, Sent
from pipeline.respond.retry_after import pause_asked_s
from pipeline.respond.targets import Route, Target

PAGE = Page(
    page_id="inc_a-1/1",
    dedup_key="inc_a-1",
    severity="critical",
    title="CRITICAL agent: it burns",
    body="more",
)
SECRET = "s3cr3t0rabcdefghijkl"


def pager_of(url: str, **changes: Any) -> ApprisePager:
    return ApprisePager(RespondConfig(targets=(Target(name="t", url=SecretStr(url)),), **changes))


@pytest.fixture
def service() -> Iterator[FakeAlertService]:
    with running_alert_service() as service:
        yield service


PAGERDUTY = f"pagerduty://{SECRET}@{SECRET}/prod-eu/agents?region=eu&+team=payments"
OPSGENIE = "opsgenie://a1b2c3d4-1111-2222-3333-a1b2c3d4e5f6/%23oncall?tags=agents,audit"


def alerting(url: str, service: FakeAlertService) -> ApprisePager:
    target = Target(name="t", url=SecretStr(url), api_url=service.url)
    return ApprisePager(RespondConfig(targets=(target,)))


def about(page: Page, event: Literal["acknowledge", "resolve"]) -> Page:
    return msgspec.structs.replace(page, event=event, page_id=f"{page.page_id}/{event}", title=event)


@pytest.mark.parametrize("url", [PAGERDUTY, OPSGENIE])
def test_an_alert_is_opened_acknowledged_and_closed_under_one_key(
    url: str, service: FakeAlertService
) -> None:
    pager = alerting(url, service)
    for page, state in (
        (PAGE, "triggered"),
        (about(PAGE, "acknowledge"), "acknowledged"),
        (about(PAGE, "resolve"), "resolved"),
    ):
        assert pager.send("t", page) == Sent(outcome="sent")
        assert service.alerts == {"inc_a-1": state}


def test_pagerduty_gets_what_its_url_says(service: FakeAlertService) -> None:
    alerting(PAGERDUTY, service).send("t", PAGE)
    [(path, content, _)] = service.calls
    payload = content["payload"]
    assert (path, content["routing_key"]) == ("/v2/enqueue", SECRET)
    assert (payload["summary"], payload["severity"]) == ("CRITICAL agent: it burns", "critical")
    assert (payload["source"], payload["component"]) == ("prod-eu", "agents")
    assert payload["custom_details"] == {"team": "payments", "page": "more", "page_id": "inc_a-1/1"}


def test_opsgenie_gets_what_its_url_says(service: FakeAlertService) -> None:
    alerting(OPSGENIE, service).send("t", PAGE)
    [(_, content, headers)] = service.calls
    assert headers["Authorization"] == "GenieKey a1b2c3d4-1111-2222-3333-a1b2c3d4e5f6"
    assert (content["priority"], content["tags"]) == ("P1", ["agents", "audit"])
    assert content["responders"] == [{"type": "team", "name": "oncall"}]


def test_long_pages_fit_the_limits(service: FakeAlertService) -> None:
    long = Page(page_id="p", dedup_key="d", severity="info", title="t" * 2_000, body="b" * 40_000)
    assert alerting(PAGERDUTY, service).send("t", long).outcome == "sent"
    assert alerting(OPSGENIE, service).send("t", long).outcome == "sent"
    (_, pagerduty, _), (_, opsgenie, _) = service.calls
    assert len(pagerduty["payload"]["summary"]) == 1_024
    assert (len(opsgenie["message"]), len(opsgenie["description"])) == (130, 15_000)


@pytest.mark.parametrize("url", [PAGERDUTY, OPSGENIE])
def test_a_service_that_asks_to_wait_is_heard(url: str, service: FakeAlertService) -> None:
    service.status, service.headers = 429, {"Retry-After": "17"}
    sent = alerting(url, service).send("t", PAGE)
    assert sent == Sent(outcome="failed", error="HTTP 429", retry_after_s=17)


def test_what_apprise_sends_is_heard_too() -> None:
    with running_webhook() as webhook:
        webhook.status, webhook.headers = 503, {"Retry-After": "40"}
        sent = pager_of(webhook.url).send("t", PAGE)
        assert sent == Sent(outcome="failed", error="HTTP 503", retry_after_s=40)
        webhook.headers = {}
        assert pager_of(webhook.url).send("t", PAGE).retry_after_s is None


@pytest.mark.parametrize(
    ("status", "text", "pause_s"),
    [
        (429, "5", 5),
        (503, "Mon, 23 Nov 2026 10:00:30 GMT", 30),
        (503, "Mon, 23 Nov 2026 09:00:00 GMT", None),
        (429, "86400", 3_600),
        (429, "soon", None),
        (429, "-5", None),
        (429, "nan", None),
        (500, "5", None),
    ],
)
def test_pauses_that_are_asked_for(status: int, text: str, pause_s: float | None) -> None:
    now = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
    assert pause_asked_s(status, {"Retry-After": text}, now) == pause_s


def test_closing_what_is_gone_is_no_failure(service: FakeAlertService) -> None:
    service.status = 404
    assert alerting(OPSGENIE, service).send("t", about(PAGE, "resolve")).outcome == "sent"
    assert alerting(OPSGENIE, service).send("t", PAGE).outcome == "failed"


def test_a_redirect_is_a_failure_because_nothing_was_delivered() -> None:
    with running_webhook() as webhook:
        webhook.status = 302
        assert pager_of(webhook.url).send("t", PAGE) == Sent(outcome="failed", error="HTTP 302")


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (200, Sent(outcome="sent")),
        (422, Sent(outcome="refused", error="HTTP 422")),
        (401, Sent(outcome="failed", error="HTTP 401")),
        (429, Sent(outcome="failed", error="HTTP 429")),
        (500, Sent(outcome="failed", error="HTTP 500")),
    ],
)
def test_answers_are_told_apart(status: int, sent: Sent) -> None:
    with running_webhook() as webhook:
        webhook.status = status
        assert pager_of(webhook.url).send("t", PAGE) == sent


def test_a_target_that_hangs_ends_in_time() -> None:
    with running_webhook() as webhook:
        webhook.delay_s = 5
        sent = pager_of(webhook.url, send_timeout_s=0.3).send("t", PAGE)
        assert sent.outcome == "failed"
        webhook.delay_s = 0


def test_secrets_of_urls_reach_no_log_and_no_error() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        errors = [
            pager_of(url).send("t", PAGE).error or ""
            for url in (
                f"pagerduty://{SECRET}!!@",
                f"nosuchservice://{SECRET}",
                f"json://user:{SECRET}@127.0.0.1:1/{SECRET}",
            )
        ]
        with pytest.raises(ConfigError) as raised:
            pager_of(f"nosuchservice://{SECRET}").check()
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    said = stream.getvalue() + "".join(errors) + str(raised.value)
    assert all(errors)
    assert SECRET not in said
    assert SECRET not in repr(RespondConfig(targets=(Target(name="t", url=SecretStr(f"json://{SECRET}")),)))


def test_a_url_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    pager = ApprisePager(RespondConfig(targets=(Target(name="t", url_env="PAGE_URL"),)))
    assert pager.send("t", PAGE) == Sent(outcome="misconfigured", error="PAGE_URL is not set")
    with pytest.raises(ConfigError, match="PAGE_URL is not set"):
        pager.check()
    with running_webhook() as webhook:
        monkeypatch.setenv("PAGE_URL", webhook.url)
        assert pager.send("t", PAGE).outcome == "sent"
        assert webhook.requests[0]["page_id"] == "inc_a-1/1"


def test_the_terminal_shows_markup_as_text() -> None:
    terminal = io.StringIO()
    pager = ApprisePager(RespondConfig(), terminal)
    page = sample("test/1", START_MS)
    assert pager.send("console", page).outcome == "sent"
    assert "auditfuse test page" in terminal.getvalue()
    hostile = Page(page_id="x", dedup_key="x", severity="critical", title="[red]t[/red][/oops]", body="b")
    assert pager.send("console", hostile).outcome == "sent"
    assert "[red]t[/red][/oops]" in terminal.getvalue()
    terminal.close()
    assert pager.send("console", page) == Sent(outcome="failed", error="the terminal is closed")


def test_routes_by_severity_and_environment() -> None:
    def target(name: str, *tags: str) -> Target:
        return Target(name=name, url=SecretStr("json://localhost"), tags=tags)

    config = RespondConfig(
        targets=(target("pager", "page"), target("chat", "chat"), target("tickets", "ticket")),
        routes=(
            Route(severities=("critical",), environments=("production",), tags=("page",)),
            Route(severities=("critical", "warning"), tags=("chat",)),
            Route(severities=("info",), environments=("production",), tags=("ticket",)),
        ),
    )
    assert config.targets_for("critical", "production") == ["pager", "chat"]
    assert config.targets_for("warning", "production") == ["chat"]
    assert config.targets_for("info", "production") == ["tickets"]
    assert config.targets_for("info", "staging") == []
    only_pager = RespondConfig(targets=config.targets[:1], routes=config.routes[:1])
    assert only_pager.targets_for("critical", "staging") == ["pager"]  # a critical one is never unheard
    assert RespondConfig().targets_for("critical", "production") == ["console"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"targets": [{"name": "a", "url": "json://h"}] * 2}, "two targets are named a"),
        ({"targets": [{"name": "a"}]}, "needs exactly one of url and url_env"),
        ({"targets": [{"name": "console", "url": "json://h"}]}, "set console = true"),
        ({"last_resort": "nobody"}, "nobody, which is not configured"),
        ({"retries": 3}, "Extra inputs"),
    ],
)
def test_mistakes_in_the_configuration_are_named(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        RespondConfig.model_validate(settings)
