"""What on-call sees, on a real broker: pages within seconds, once an incident, that say what was tripped."""

import asyncio
import itertools
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.broker import TestBroker
from support.produce import create_topic, produce, unique
from support.running import Running, auditfuse, free_port, sealed_rows, wait_until, write_config
from support.service import AGENT, QUICK, event, kafka, locked, query, refusals, source
from support.webhook import Webhook, running_webhook

PAGES_WITHIN_S = 10.0
FLOOR_WRITES = 150

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

TRIPPED_S = 15
"""Far below what a transaction of a locked database is tried for: 30 s."""


class OnCall:
    """A server with a webhook, and topics that may say different things."""

    def __init__(self, folder: Path, bootstrap: str, webhook: Webhook, enforce: bool) -> None:
        self.folder, self.bootstrap, self.webhook = folder, bootstrap, webhook
        self.bound, self.sender_stamped, self.foreign = map(unique, ("bound", "sender-stamped", "foreign"))
        asyncio.run(create_topic(bootstrap, self.bound, 2))
        asyncio.run(create_topic(bootstrap, self.sender_stamped, 1, message_timestamp_type="CreateTime"))
        asyncio.run(create_topic(bootstrap, self.foreign, 1))
        port = free_port()
        mode = "enforce" if enforce else "shadow"
        write_config(
            folder,
            data_dir=str(folder),
            kafka=kafka(bootstrap, self.bound),
            sources=[
                source(self.bound),
                source(self.sender_stamped),
                source(self.foreign, agents=["weather-agent"]),
            ],
            respond={
                "targets": [{"name": "hook", "url": webhook.url, "per_minute": 600}],
                "agent_pages_together_s": 0,
                "backoff_first_s": 0.2,
                "backoff_max_s": 0.5,
            },
            killswitch={
                "port": port,
                "auto_trip": {
                    "detectors": {"auth_failure": {"mode": mode, "trip": "off"}},
                    "max_agents_share": 1.0,
                    "per_fleet_hour": 10,
                },
            },
            state={"url": f"sqlite:///{folder / 'state.db'}", "busy_timeout_ms": 500},
            **QUICK,
        )
        self.server = Running(folder, port)

    def produce(self, topic: str, messages: list[bytes]) -> None:
        asyncio.run(produce(self.bootstrap, topic, messages, 1))

    def pages(self, agent: str, detector: str = "auth_failure") -> list[dict[str, Any]]:
        """The pages about one agent that one detector found something about, as they came."""
        named = [page for page in list(self.webhook.requests) if f" {agent} in " in page["title"]]
        return [page for page in named if f"detector {detector} " in page["message"]]

    def page(self, agent: str, detector: str = "auth_failure") -> dict[str, Any]:
        """The first such page, waited for."""
        wait_until(lambda: self.pages(agent, detector), 30, f"a page of {detector} about {agent}")
        return self.pages(agent, detector)[0]

    def is_enabled(self, agent: str) -> bool:
        request = urllib.request.Request(
            f"{self.server.control}/ofrep/v1/evaluate/flags/agent.enabled",
            json.dumps({"context": {"targetingKey": agent}}).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)["value"]

    def incidents(self) -> list[dict[str, Any]]:
        done = auditfuse("incidents", "list", "--config", "auditfuse.toml", "--json", cwd=self.folder)
        return json.loads(done.stdout)["incidents"]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, kafka: TestBroker) -> Iterator[Callable[[bool], OnCall]]:
    """Starts servers that all end with the module."""
    started: list[OnCall] = []
    with running_webhook() as enforcing, running_webhook() as shadowing:

        def one(enforce: bool) -> OnCall:
            folder = tmp_path_factory.mktemp("oncall")
            webhook = enforcing if enforce else shadowing
            started.append(OnCall(folder, kafka.bootstrap, webhook, enforce))
            return started[-1]

        yield one
        for each in started:
            each.server.__exit__()


@pytest.fixture(scope="module")
def on_call(start: Callable[[bool], OnCall]) -> OnCall:
    """A server that trips by itself."""
    started = start(True)
    started.server.wait_ready()
    # The first member of a new cluster waits seconds for its coordinator, which is the broker's time.
    started.produce(started.bound, [event("healthy-agent")])
    wait_until(lambda: sealed_rows(started.folder / "store") == 1, 60, "the first event sealed")
    return started


@pytest.fixture(scope="module")
def in_shadow(start: Callable[[bool], OnCall]) -> OnCall:
    """A server that only says what it would have tripped."""
    started = start(False)
    started.server.wait_ready()
    return started


def test_refusals_of_an_agent_never_seen_before_page_and_trip_within_seconds(on_call: OnCall) -> None:
    assert on_call.is_enabled(AGENT)
    began = time.monotonic()
    on_call.produce(on_call.bound, refusals(30))
    page = on_call.page(AGENT)
    paged_s = time.monotonic() - began
    print(f"\n30 refusals, produce to page: {paged_s:.2f} s")
    assert paged_s < PAGES_WITHIN_S
    assert not on_call.is_enabled(AGENT)
    assert "refused authorizations" in page["title"]
    assert "tripped to off (trip_" in page["title"]
    assert "undo: auditfuse killswitch reset trip_" in page["message"]
    assert page["severity"] == "critical"


def test_going_on_it_pages_once_an_incident(on_call: OnCall) -> None:
    agent = "stubborn-agent"
    on_call.produce(on_call.bound, refusals(30, agent))
    key = on_call.page(agent)["dedup_key"]
    for _ in range(3):
        before = sealed_rows(on_call.folder / "store")
        on_call.produce(on_call.bound, refusals(40, agent))
        wait_until(lambda: sealed_rows(on_call.folder / "store") == before + 40, 30, "40 more sealed")  # noqa: B023
    flush(on_call)
    assert [page["dedup_key"] for page in on_call.pages(agent)] == [key]


def test_a_finding_that_trips_no_more_says_why_in_its_title(on_call: OnCall) -> None:
    agent = "busy-agent"
    on_call.produce(on_call.bound, refusals(30, agent))
    assert "tripped to off" in on_call.page(agent)["title"]
    on_call.produce(on_call.bound, [event(agent, action_kind="write") for _ in range(FLOOR_WRITES)])
    title = on_call.page(agent, "write_burst")["title"]
    assert title.endswith("; not tripped: detector write_burst is not configured to trip")


def test_times_of_the_sender_page_but_never_trip(on_call: OnCall) -> None:
    agent = "clock-agent"
    on_call.produce(on_call.sender_stamped, refusals(60, agent))
    page = on_call.page(agent)
    assert "not tripped: its times are not the broker's" in page["title"]
    assert on_call.is_enabled(agent)


def test_a_source_cannot_page_or_trip_in_the_name_of_another_agent(on_call: OnCall) -> None:
    victim = "victim-agent"
    on_call.produce(on_call.foreign, refusals(60, victim))
    page = on_call.page(victim, "identity_claim")
    assert on_call.foreign in page["title"]
    flush(on_call)
    assert on_call.pages(victim) == []
    assert on_call.is_enabled(victim)
    flags = query(on_call.folder, f"select distinct bound, flags from events where agent_id = '{victim}'")
    assert [row["bound"] for row in flags] == ["false"]


def test_a_trip_with_the_state_database_locked_is_served_and_paged_as_a_trip(on_call: OnCall) -> None:
    agents = ["locked-agent", "next-locked-agent"]
    with locked(on_call.folder / "state.db"):
        for agent in agents:
            on_call.produce(on_call.bound, refusals(30, agent))
            wait_until(lambda: not on_call.is_enabled(agent), TRIPPED_S, "tripped while locked")  # noqa: B023
        assert [on_call.pages(agent) for agent in agents] == [[], []]
    for agent in agents:
        assert "tripped to off (trip_" in on_call.page(agent)["title"]


def test_after_a_kill_between_trip_and_page_the_page_says_tripped(on_call: OnCall) -> None:
    agent = "killed-agent"
    with locked(on_call.folder / "state.db"):
        on_call.produce(on_call.bound, refusals(30, agent))
        wait_until(lambda: not on_call.is_enabled(agent), TRIPPED_S, "tripped while the database is locked")
        on_call.server.kill()
    on_call.server.restart()
    assert "tripped to off (trip_" in on_call.page(agent)["title"]
    flush(on_call)
    assert len(on_call.pages(agent)) == 1


def test_in_shadow_it_says_so_and_a_webhook_that_is_down_is_told_later(in_shadow: OnCall) -> None:
    webhook = in_shadow.webhook
    webhook.status = 503
    in_shadow.produce(in_shadow.bound, refusals(30))
    webhook.wait_for_attempts(2, 30)
    (incident,) = [one for one in in_shadow.incidents() if one["detector"] == "auth_failure"]
    assert incident["undelivered"] == 1
    assert incident["status"] == "open"
    assert webhook.requests == []
    webhook.status = 200
    page = in_shadow.page(AGENT)
    assert page["title"].endswith("would have tripped (shadow mode)")
    assert in_shadow.is_enabled(AGENT)
    wait_until(lambda: not any(one["undelivered"] for one in in_shadow.incidents()), 20, "all delivered")
    assert len(in_shadow.pages(AGENT)) == 1
    assert webhook.repeats == {}


_numbers = itertools.count()


def flush(on_call: OnCall) -> None:
    """Wait for a page about events produced now: what came before has been told, or never will be."""
    agent = f"flush-agent-{next(_numbers)}"
    on_call.produce(on_call.bound, refusals(30, agent))
    on_call.page(agent)
