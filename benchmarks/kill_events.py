"""From events to people and agents: produced → page at a webhook, and finding → last action allowed.

Events go through a real Kafka broker; with `--quick` through the HTTP receiver, which needs none.
"""

import asyncio
import importlib.util
import json
import re
import secrets
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from benchmarks.kill_agents import Agents, now_ns
from benchmarks.kill_switching import last_actions_ms, status
from benchmarks.report import ROOT
from benchmarks.served import Server

REFUSALS = 30
PAGE_TIMEOUT_S = 60.0
TOPIC = "agent-events"
PARTITIONS = 2


class Produce(Protocol):
    """Hands events in; returns once they are taken."""

    def __call__(self, events: Sequence[bytes]) -> None: ...


class Pages:
    """A webhook that notes when the first page about an agent comes."""

    def __init__(self) -> None:
        self._came = threading.Condition()
        self._first_ns: dict[str, int] = {}
        pages = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                came_ns = now_ns()
                page = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                pages.note(page["title"], came_ns)

            def log_message(self, format: str, *args: object) -> None:  # noqa: ARG002 (http.server's)
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"json://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def note(self, title: str, came_ns: int) -> None:
        """A page with this title came."""
        with self._came:
            for agent in re.findall(r"[a-z]+-agent-\d+", title):
                self._first_ns.setdefault(agent, came_ns)
            self._came.notify_all()

    def wait(self, agent: str) -> int:
        """When the first page about this agent came, waited for."""
        with self._came:
            if not self._came.wait_for(lambda: agent in self._first_ns, PAGE_TIMEOUT_S):
                raise SystemExit(f"no page about {agent} came in {PAGE_TIMEOUT_S:g} s")
            return self._first_ns[agent]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class Found(NamedTuple):
    """An automatic trip: until the last action allowed …"""

    from_found_ms: float
    """… from its finding: the trip's own time, taken as the finding is handed to the switch, in whole ms …"""
    from_produced_ms: float
    """… and from before its events were handed in."""


def refusals(agent: str) -> list[bytes]:
    """Events that reach the floor of `auth_failure`, which needs no learning."""
    step = {
        "start_time_unix_nano": time.time_ns() - 1_000_000,
        "duration_ns": 1_000_000,
        "agent_id": agent,
        "environment": "prod",
        "operation": "execute_tool",
        "action": "lookup_invoice",
        "action_kind": "read",
        "status": "error",
        "http_status": 403,
        "error_type": "PermissionDenied",
    }
    ids = ({"trace_id": secrets.token_hex(16), "span_id": secrets.token_hex(8)} for _ in range(REFUSALS))
    return [json.dumps({**step, **each}).encode() for each in ids]


def produced_to_page_ms(produce: Produce, pages: Pages, count: int) -> list[float]:
    """From before the events of an agent are handed in to the page about it, one agent after the other."""
    produce(refusals("warm-agent-0"))  # the first of everything: coordinator, segment, incident
    pages.wait("warm-agent-0")
    taken: list[float] = []
    for number in range(count):
        time.sleep(secrets.SystemRandom().uniform(0, 1))  # anywhere within the seal's second
        events, agent = refusals(f"paged-agent-{number}"), f"paged-agent-{number}"
        began_ns = now_ns()
        produce(events)
        taken.append((pages.wait(agent) - began_ns) / 1e6)
    return taken


def findings_to_last_actions(
    server: Server, produce: Produce, started: Sequence[Agents], count: int
) -> list[Found]:
    """Trip `count` of the agents by what they seem to have done, one after the other."""
    names = zip(*(agents.names for agents in started), strict=True)
    everyone = [(agents, name) for turn in names for agents, name in zip(started, turn, strict=True)]
    produced_ns: dict[str, int] = {}
    for agents, name in everyone[:count]:
        events = refusals(name)
        produced_ns[name] = now_ns()
        produce(events)
        _wait_refused(agents, name)
    trips = {trip["selector"]["agent"]: trip for trip in status(server)["trips"]}
    wall_to_here_ns = now_ns() - time.time_ns()
    out: list[Found] = []
    for agents, name in everyone[:count]:
        found_ns = trips[name]["at_ms"] * 1_000_000 + wall_to_here_ns
        from_found_ms, from_produced_ms = (
            last_actions_ms(agents, {name: moment})[0] for moment in (found_ns, produced_ns[name])
        )
        out.append(Found(from_found_ms, from_produced_ms))
    return out


def _wait_refused(agents: Agents, name: str) -> None:
    deadline = time.monotonic() + PAGE_TIMEOUT_S
    while (change := agents.latest().get(name)) is None or change.cause != "trip":
        if time.monotonic() > deadline:
            raise SystemExit(f"{name} was not tripped within {PAGE_TIMEOUT_S:g} s")
        time.sleep(0.01)


@contextmanager
def kafka(folder: Path) -> Iterator[str]:
    """A broker of this measurement's own. Exits with 2 where none can be started."""
    script = _broker_script()
    try:
        broker = script.start(script.free_port(), folder / "kafka")
    except script.BrokerError as error:
        raise SystemExit(str(error)) from None
    try:
        asyncio.run(_create_topic(broker.bootstrap))
        yield broker.bootstrap
    finally:
        broker.stop()


@contextmanager
def producer(bootstrap: str) -> Iterator[Produce]:
    """A producer that stays connected, in an event loop of its own."""
    from aiokafka import AIOKafkaProducer

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def wait(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(PAGE_TIMEOUT_S)

    async def start() -> AIOKafkaProducer:
        made = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
        await made.start()
        return made

    async def send(made: AIOKafkaProducer, events: Sequence[bytes]) -> None:
        sent = [await made.send(TOPIC, event, partition=n % PARTITIONS) for n, event in enumerate(events)]
        await asyncio.gather(*sent)

    made = wait(start())
    try:
        yield lambda events: wait(send(made, events))
    finally:
        wait(made.stop())
        loop.call_soon_threadsafe(loop.stop)


def by_http(port: int) -> Produce:
    """Hands events in at the HTTP receiver."""

    def produce(events: Sequence[bytes]) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/events",
            b"[" + b",".join(events) + b"]",
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30):
            return

    return produce


async def _create_topic(bootstrap: str) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        settings = {"message.timestamp.type": "LogAppendTime"}
        await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1, topic_configs=settings)])
    finally:
        await admin.close()


def _broker_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kafka_broker", ROOT / "scripts" / "kafka" / "broker.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
