"""What goes out to each service, and what never gets into a log or an error."""

import io
import logging
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
import requests
from pydantic import SecretStr, ValidationError
from support.respond import START_MS
from support.webhook import running_webhook

from pipeline.errors import ConfigError
from pipeline.respond.config import RespondConfig, Route, Target
from pipeline.respond.page import Page, sample
from pipeline.respond.pager import ApprisePager, Sent

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


class Answer:
    status_code = 202
    content = b'{"result": "ok", "requestId": "1"}'
    text = "{}"
    headers: Mapping[str, str] = MappingProxyType({})


@pytest.fixture
def outgoing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Requests to services that cannot be run here, as apprise would have sent them."""
    calls: list[dict[str, Any]] = []

    def post(url: str, **named: Any) -> Answer:
        calls.append({"url": url, **named})
        return Answer()

    monkeypatch.setattr(requests, "post", post)
    monkeypatch.setattr(requests, "request", lambda method, url, **named: post(url, **named))
    yield calls


def test_pagerduty_gets_the_incident_as_its_key(outgoing: list[dict[str, Any]]) -> None:
    pager = pager_of(f"pagerduty://{SECRET}@{SECRET}")
    assert pager.send("t", PAGE) == Sent(outcome="sent")
    [call] = outgoing
    for part in ('"dedup_key": "inc_a-1"', '"event_action": "trigger"', '"severity": "critical"', "it burns"):
        assert part in call["data"]


def test_a_long_page_fits_pagerdutys_summary(outgoing: list[dict[str, Any]]) -> None:
    import json

    long = Page(page_id="p", dedup_key="d", severity="info", title="t" * 1_000, body="b" * 9_000)
    assert pager_of(f"pagerduty://{SECRET}@{SECRET}").send("t", long).outcome == "sent"
    [call] = outgoing
    assert len(json.loads(call["data"])["payload"]["summary"]) <= 1_024


def test_opsgenie_gets_the_incident_as_its_alias(outgoing: list[dict[str, Any]]) -> None:
    key = "a1b2c3d4-1111-2222-3333-a1b2c3d4e5f6"
    assert pager_of(f"opsgenie://{key}/%23team").send("t", PAGE).outcome == "sent"
    assert any('"alias": "inc_a-1"' in call["data"] for call in outgoing)


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
