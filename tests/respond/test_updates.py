"""Those who were paged hear what became of it, through a real deliverer and the services' fake endpoints."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.alert_services import FakeAlertService, running_alert_service
from support.respond import START_MS, found, open_state, paging_to
from support.webhook import Webhook, running_webhook

from pipeline.respond.config import RespondConfig
from pipeline.respond.outbox import Deliverer
from pipeline.respond.pager import ApprisePager
from pipeline.respond.state import StateDatabase
from pipeline.respond.targets import Target
from schemas.finding import FindingRow

pytestmark = pytest.mark.usefixtures("each_database_long")

KEY = "s3cr3t0rabcdefghijkl"
MINUTE_MS = 60_000


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with running_webhook() as webhook:
        yield webhook


@pytest.fixture
def service() -> Iterator[FakeAlertService]:
    with running_alert_service() as service:
        yield service


class OnCall:
    """A state database and a deliverer whose clock the test sets."""

    def __init__(self, directory: Path, config: RespondConfig) -> None:
        self.now_ms = START_MS
        self.state: StateDatabase = open_state(directory, config)
        self._deliverer = Deliverer(
            self.state, _seal, ApprisePager(config), config, lambda: self.now_ms, switch_state=None
        )

    def deliver(self, after_ms: int = 1) -> int:
        """Let time pass and deliver what is due; returns what still waits."""
        self.now_ms += after_ms
        return self._deliverer.drain_once()


def _seal(rows: list[FindingRow]) -> None:
    return


@pytest.fixture
def pagerduty(tmp_path: Path, service: FakeAlertService, webhook: Webhook) -> Iterator[OnCall]:
    targets = (
        Target(name="oncall", url=SecretStr(f"pagerduty://{KEY}@{KEY}"), api_url=service.url),
        Target(name="chat", url=SecretStr(webhook.url), tags=("page", "chat")),
        Target(name="quiet", url=SecretStr(webhook.url), tags=("page", "ticket"), updates=()),
    )
    on_call = OnCall(tmp_path, paging_to("", targets=targets))
    yield on_call
    on_call.state.close()


def events(webhook: Webhook) -> list[str]:
    return [request["event"] for request in webhook.requests]


def test_an_alert_follows_its_incident(
    pagerduty: OnCall, service: FakeAlertService, webhook: Webhook
) -> None:
    [incident_id] = pagerduty.state.consume([found()], {}, START_MS).paged
    pagerduty.deliver()
    assert service.alerts == {incident_id: "triggered"}
    pagerduty.state.acknowledge(incident_id, "maria", "looking", pagerduty.now_ms)
    pagerduty.deliver()
    assert service.alerts == {incident_id: "acknowledged"}
    pagerduty.state.resolve(incident_id, "maria", "rolled back", pagerduty.now_ms)
    assert pagerduty.deliver() == 0
    assert service.alerts == {incident_id: "resolved"}
    assert events(webhook) == ["trigger", "trigger", "resolve"]  # chat and ticket, then chat alone
    note = webhook.requests[-1]
    assert note["title"] == "RESOLVED invoice-agent in production: 212 writes in a minute, normal is 3"
    assert "resolved by maria: rolled back" in note["message"]
    assert note["type"] == "success"


def test_recovery_closes_the_alert(pagerduty: OnCall, service: FakeAlertService) -> None:
    [incident_id] = pagerduty.state.consume([found()], {}, START_MS).paged
    pagerduty.deliver()
    pagerduty.state.resolve_quiet(pagerduty.now_ms + 60 * MINUTE_MS)
    pagerduty.deliver(60 * MINUTE_MS)
    assert service.alerts == {incident_id: "resolved"}


def test_what_is_over_before_it_could_be_told_leaves_no_alert_open(
    pagerduty: OnCall, service: FakeAlertService
) -> None:
    service.status = 503
    [incident_id] = pagerduty.state.consume([found()], {}, START_MS).paged
    pagerduty.deliver()
    pagerduty.state.resolve(incident_id, "maria", "fixed", pagerduty.now_ms)
    service.status = 202
    for _ in range(3):
        pagerduty.deliver(MINUTE_MS)
    assert service.alerts == {incident_id: "resolved"}


def test_reopened_before_the_close_was_told_the_alert_stays_open(
    pagerduty: OnCall, service: FakeAlertService
) -> None:
    [incident_id] = pagerduty.state.consume([found()], {}, START_MS).paged
    pagerduty.deliver()
    service.status = 503
    pagerduty.state.resolve(incident_id, "maria", "fixed", pagerduty.now_ms)
    pagerduty.deliver()
    pagerduty.state.consume([found(window=3)], {}, pagerduty.now_ms)
    service.status = 202
    for _ in range(3):
        pagerduty.deliver(MINUTE_MS)
    assert service.alerts == {incident_id: "triggered"}


def test_a_verdict_given_later_tells_nobody(pagerduty: OnCall, webhook: Webhook) -> None:
    [incident_id] = pagerduty.state.consume([found()], {}, START_MS).paged
    pagerduty.deliver()
    pagerduty.state.resolve(incident_id, "maria", "fixed", pagerduty.now_ms)
    pagerduty.deliver()
    told = len(webhook.requests)
    pagerduty.state.resolve(incident_id, "maria", "", pagerduty.now_ms, "false")
    pagerduty.deliver()
    assert len(webhook.requests) == told


def test_more_incidents_of_one_agent_are_one_more_page(tmp_path: Path, webhook: Webhook) -> None:
    on_call = OnCall(tmp_path, paging_to(webhook.url))
    on_call.state.consume([found()], {}, START_MS)
    on_call.deliver()
    later = [found(detector=f"rule_{n}", severity="warning") for n in range(4)]
    on_call.state.consume(later, {}, on_call.now_ms)
    on_call.deliver()
    titles = [request["title"] for request in webhook.requests]
    assert len(titles) == 2
    assert titles[1] == "WARNING invoice-agent in production: and 4 more incidents of this agent"
    on_call.state.consume([found(detector="rule_9", key={"n": "9"})], {}, on_call.now_ms)
    on_call.deliver()
    assert len(webhook.requests) == 3  # alone it is told as itself
    assert "212 writes" in webhook.requests[2]["title"]
    on_call.state.close()


def test_a_trip_is_never_held_for_company(tmp_path: Path, webhook: Webhook) -> None:
    config = paging_to(webhook.url, agent_pages_together_s=3_600)
    on_call = OnCall(tmp_path, config)
    on_call.state.consume([found()], {}, START_MS)
    second = found(detector="auth_failure")
    trips = {second.finding.finding_id: "tripped to off (trip_1)"}
    on_call.state.consume([second], {}, START_MS, trips)
    third = found(detector="latency", severity="warning")
    on_call.state.consume([third], {}, START_MS)
    pages = on_call.state.read(
        lambda connection: connection.exec_driver_sql(
            "select next_attempt_at_ms - created_at_ms, together is not null from pages order by seq"
        ).all()
    )
    assert [tuple(page) for page in pages] == [(0, 0), (0, 0), (3_600_000, 1)]
    on_call.state.close()
