"""Delivery by a real deliverer through apprise to a real webhook."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.long import by_form
from support.page_trials import outage, storm
from support.respond import START_MS, found, locked, open_state, paging_to
from support.webhook import Webhook, running_webhook

from pipeline.clock import system_now_ms
from pipeline.respond.config import RespondConfig
from pipeline.respond.messages import Outbox
from pipeline.respond.outbox import AppendFindings, Deliverer
from pipeline.respond.pager import ApprisePager
from pipeline.respond.state import StateDatabase
from pipeline.respond.targets import Target
from schemas.finding import FindingRow, IncidentRow

pytestmark = pytest.mark.usefixtures("each_database_long")

Rows = list[FindingRow | IncidentRow]


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with running_webhook() as hook:
        yield hook


class Sealed:
    """`_findings` as far as the deliverer sees it; can be down."""

    def __init__(self) -> None:
        self.rows: Rows = []
        self.down = False

    def append(self, rows: Rows) -> None:
        if self.down:
            raise OSError("read-only file system")
        known = {row.id for row in self.rows}
        self.rows += [row for row in rows if row.id not in known]


@asynccontextmanager
async def delivering(
    state: StateDatabase, config: RespondConfig, append: AppendFindings
) -> AsyncIterator[Deliverer]:
    deliverer = Deliverer(state, append, ApprisePager(config), config, system_now_ms)
    stop = asyncio.Event()
    running = asyncio.create_task(deliverer.run(stop))
    try:
        yield deliverer
    finally:
        stop.set()
        await asyncio.wait_for(running, 20)


async def until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 (the condition is in a database)
            await asyncio.sleep(0.01)


async def test_a_finding_is_sealed_and_paged_once(tmp_path: Path, webhook: Webhook) -> None:
    config, sealed = paging_to(webhook.url, append_wait_s=60), Sealed()
    state = open_state(tmp_path, config)
    async with delivering(state, config, sealed.append) as deliverer:
        [incident_id] = state.consume([found()], {}, system_now_ms()).paged
        deliverer.wake()
        await asyncio.to_thread(webhook.wait_for, 1)
        assert len(sealed.rows) == 2  # sealed before the page went out
        await until(lambda: state.undelivered() == {})
    [page] = webhook.requests
    assert page["dedup_key"] == incident_id
    assert page["title"].startswith("CRITICAL invoice-agent in production: 212 writes in a minute")
    assert page["severity"] == "critical"
    assert page["type"] == "failure"
    state.close()


async def test_paging_does_not_wait_for_a_store_that_is_down(tmp_path: Path, webhook: Webhook) -> None:
    config, sealed = paging_to(webhook.url), Sealed()
    sealed.down = True
    state = open_state(tmp_path, config)
    async with delivering(state, config, sealed.append):
        state.consume([found()], {}, system_now_ms())
        await asyncio.to_thread(webhook.wait_for, 1)
        assert sealed.rows == []
        sealed.down = False
        await until(lambda: len(sealed.rows) == 2)
    assert webhook.repeats == {}
    state.close()


async def test_a_target_that_is_down_gets_its_page_when_it_returns(tmp_path: Path, webhook: Webhook) -> None:
    config = paging_to(webhook.url)
    state = open_state(tmp_path, config)
    webhook.status = 503
    async with delivering(state, config, Sealed().append):
        [incident_id] = state.consume([found()], {}, system_now_ms()).paged
        await asyncio.to_thread(webhook.wait_for_attempts, 3)
        await until(lambda: state.incident(incident_id).pages[0]["last_error"] == "HTTP 503")
        assert state.undelivered() == {incident_id: 1}
        webhook.status = 200
        await asyncio.to_thread(webhook.wait_for, 1)
        await until(lambda: state.undelivered() == {})
    assert len(webhook.requests) == 1
    [page] = state.incident(incident_id).pages
    assert page["attempts"] == webhook.attempts
    state.close()


async def test_only_the_target_that_failed_is_tried_again(tmp_path: Path, webhook: Webhook) -> None:
    with running_webhook() as other:
        targets = (
            Target(name="well", url=SecretStr(webhook.url)),
            Target(name="ill", url=SecretStr(other.url)),
        )
        config = paging_to(webhook.url, targets=targets)
        state = open_state(tmp_path, config)
        other.status = 500
        async with delivering(state, config, Sealed().append):
            state.consume([found()], {}, system_now_ms())
            await asyncio.to_thread(other.wait_for_attempts, 3)
            other.status = 200
            await asyncio.to_thread(other.wait_for, 1)
        assert (webhook.attempts, len(other.requests)) == (1, 1)
        state.close()


async def test_a_slow_target_holds_up_no_other(tmp_path: Path, webhook: Webhook) -> None:
    with running_webhook() as slow:
        slow.delay_s = 3.0
        targets = (
            Target(name="slow", url=SecretStr(slow.url)),
            Target(name="quick", url=SecretStr(webhook.url)),
        )
        config = paging_to(webhook.url, targets=targets)
        state = open_state(tmp_path, config)
        async with delivering(state, config, Sealed().append):
            state.consume([found(f"agent-{n}") for n in range(5)], {}, system_now_ms())
            await asyncio.to_thread(webhook.wait_for, 5)
            assert slow.requests == []
            slow.delay_s = 0.0
        state.close()


async def test_a_page_that_is_refused_holds_up_no_other(tmp_path: Path, webhook: Webhook) -> None:
    config = paging_to(webhook.url)
    state = open_state(tmp_path, config)
    webhook.refuse_titles_with = "agent-0 "
    async with delivering(state, config, Sealed().append):
        state.consume([found(f"agent-{n}") for n in range(4)], {}, system_now_ms())
        await asyncio.to_thread(webhook.wait_for, 3)
        webhook.refuse_titles_with = None
        await asyncio.to_thread(webhook.wait_for, 4)
    assert webhook.repeats == {}
    state.close()


async def test_a_wrong_url_is_visible_and_heals_with_the_configuration(
    tmp_path: Path, webhook: Webhook
) -> None:
    wrong = paging_to("nosuchservice://secret-token@host")
    state = open_state(tmp_path, wrong)
    async with delivering(state, wrong, Sealed().append):
        [incident_id] = state.consume([found()], {}, system_now_ms()).paged
        await until(lambda: state.incident(incident_id).pages[0]["attempts"] > 0)
    [page] = state.incident(incident_id).pages
    assert page["last_error"] == "apprise cannot use the URL"
    right = paging_to(webhook.url)
    async with delivering(state, right, Sealed().append):
        await asyncio.to_thread(webhook.wait_for, 1)
    state.close()


async def test_pages_of_a_target_that_is_gone_go_to_the_others(tmp_path: Path, webhook: Webhook) -> None:
    old = paging_to("", targets=(Target(name="gone", url=SecretStr("json://127.0.0.1:1/")),))
    state = open_state(tmp_path, old)
    [incident_id] = state.consume([found()], {}, system_now_ms()).paged
    now = paging_to(webhook.url)
    async with delivering(state, now, Sealed().append):
        await asyncio.to_thread(webhook.wait_for, 1)
        await until(lambda: state.undelivered() == {})
    assert webhook.requests[0]["dedup_key"] == incident_id
    state.close()


async def test_a_storm_is_few_pages_with_the_worst_first(tmp_path: Path, webhook: Webhook) -> None:
    config = paging_to(webhook.url, per_minute=10, append_wait_s=60, storm_wait_s=0)
    state = open_state(tmp_path, config)
    storm = [found(f"agent-{n}", severity="warning") for n in range(2_000)]
    storm.append(found("worst-agent"))
    sealed = Sealed()

    def append(rows: Rows) -> None:
        """Slow enough for the pages of what is sealed already."""
        time.sleep(0.3)
        sealed.append(rows)

    async with delivering(state, config, append) as deliverer:
        assert state.consume(storm, {}, system_now_ms()).messages == 2_001
        deliverer.wake()
        await asyncio.to_thread(webhook.wait_for, 10, 60)
        await until(lambda: state.undelivered() == {})
    titles = [request["title"] for request in webhook.requests]
    assert len(titles) == 10
    assert "worst-agent" in titles[0]
    assert titles[-1] == "WARNING and 1,992 more incidents"
    assert len(state.incidents(limit=5_000)) == 2_001
    state.close()


async def test_incidents_that_were_over_before_delivery_are_one_line(
    tmp_path: Path, webhook: Webhook
) -> None:
    config = paging_to(webhook.url)
    state = open_state(tmp_path, config)
    paged = state.consume([found(f"agent-{n}") for n in range(4)], {}, system_now_ms()).paged
    for incident_id in paged[1:]:
        state.resolve(incident_id, "maria", "fixed", system_now_ms())
    async with delivering(state, config, Sealed().append):
        await asyncio.to_thread(webhook.wait_for, 2)
        await until(lambda: state.undelivered() == {})
    titles = [request["title"] for request in webhook.requests]
    assert titles[0].startswith("CRITICAL agent-0 ")
    assert titles[1:] == ["CRITICAL 3 resolved before they could be told"]
    state.close()


async def test_the_last_resort_hears_that_paging_fails(tmp_path: Path, webhook: Webhook) -> None:
    targets = (
        Target(name="down", url=SecretStr("json://127.0.0.1:1/")),
        Target(name="phone", url=SecretStr(webhook.url), tags=("last",)),
    )
    config = paging_to("", targets=targets, last_resort="phone", dead_man_after_s=0.2)
    state = open_state(tmp_path, config)
    async with delivering(state, config, Sealed().append):
        state.consume([found()], {}, system_now_ms())
        await asyncio.to_thread(webhook.wait_for, 1)
        attempts = Outbox(state, config).health("down").failures
        await until(lambda: Outbox(state, config).health("down").failures > attempts + 2)
    assert len(webhook.requests) == 1
    assert "auditfuse cannot page: 1 undelivered at target down" in webhook.requests[0]["title"]
    state.close()


async def test_a_locked_state_database_delays_and_loses_nothing(tmp_path: Path, webhook: Webhook) -> None:
    config = paging_to(webhook.url)
    state = open_state(tmp_path, config, busy_timeout_ms=5, retry_for_ms=20)
    state.consume([found()], {}, system_now_ms())
    with locked(tmp_path) as unlock:
        async with delivering(state, config, Sealed().append):
            # Reading goes on: the page is sent, and can be marked only once the lock is gone.
            await asyncio.to_thread(webhook.wait_for, 1)
            threading.Timer(2.2, unlock).start()
            await until(lambda: state.undelivered() == {})
    assert webhook.attempts == 1  # not once a second again until the lock was gone
    state.close()


async def test_what_was_found_last_is_delivered_at_the_stop(tmp_path: Path, webhook: Webhook) -> None:
    config, sealed = paging_to(webhook.url, append_wait_s=60), Sealed()
    state = open_state(tmp_path, config)
    deliverer = Deliverer(state, sealed.append, ApprisePager(config), config)
    stop = asyncio.Event()
    stop.set()
    state.consume([found(f"agent-{n}") for n in range(3)], {}, system_now_ms())
    await deliverer.run(stop)
    assert (len(sealed.rows), len(webhook.requests)) == (6, 3)
    state.close()


def test_a_command_that_ends_delivers_before_it_does(tmp_path: Path, webhook: Webhook) -> None:
    config, sealed = paging_to(webhook.url, append_wait_s=60), Sealed()
    state = open_state(tmp_path, config)
    state.consume([found(f"agent-{n}") for n in range(3)], {}, START_MS)
    deliverer = Deliverer(state, sealed.append, ApprisePager(config), config)
    assert deliverer.drain_once() == 0
    assert (len(sealed.rows), len(webhook.requests)) == (6, 3)
    state.close()


def test_a_storm_of_a_minute_is_ten_pages_with_the_worst_among_the_first(
    tmp_path: Path, webhook: Webhook
) -> None:
    findings = by_form(short=360, long=1200)
    made = storm(tmp_path, webhook, findings, worst_at_s=41)
    assert made.pages <= 10
    assert made.place_of_worst <= 3
    assert (made.findings, made.without_incident) == (findings + 1, 0)
    assert made.told == made.incidents


def test_after_an_hour_without_any_target_each_open_incident_is_told_once(
    tmp_path: Path, webhook: Webhook
) -> None:
    after = outage(tmp_path, webhook, 12, 36)
    assert after.open == 24
    assert set(after.told_of_open.values()) == {1}
    assert (after.lines_of_resolved, after.undelivered) == (1, 0)
