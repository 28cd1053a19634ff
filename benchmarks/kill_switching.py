"""Agents with the client: from a trip to the last action allowed, and how they fail closed."""

import json
import os
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from benchmarks.kill_agents import ENVIRONMENT, TOOL, Agents, agents_of, now_ns
from benchmarks.kill_flags import TRIPS_PATH
from benchmarks.kill_proxy import running_proxy
from benchmarks.served import Connection, Server, post

RESETS_PATH = "/v1/killswitch/resets"
CHECKS = 100_000
NS_PER_MS = 1e6
ORDERS_APART_S = 0.3


class Fleet(NamedTuple):
    """How many agents, in how many processes, and the leases that the server gives."""

    processes: int
    each: int
    lease_s: float
    renew_s: float

    @property
    def agents(self) -> int:
        """All of them."""
        return self.processes * self.each


class Closed(NamedTuple):
    """How agents under one disturbance failed closed."""

    agents: int
    late_ms_max: float
    """An action allowed so long after its lease's end, at most; below 0 where every one came before it."""
    early: int
    """Agents refused before their lease's end."""
    refused_late_ms_max: float
    """The first refusal so long after the lease's end, at most: how often the agents act is part of it."""
    first_s: float
    """The first agent closed so long after the disturbance …"""
    last_s: float
    """… and the last."""


def check_us(server: Server, rounds: int, checks: int = CHECKS) -> list[float]:
    """CPU microseconds of one `guard.check` that allows, one figure a round."""
    from auditfuse_client import Guard

    taken: list[float] = []
    with Guard(server.url, agent="checked", environment=ENVIRONMENT) as guard:
        guard.check(action="write", tool=TOOL)
        for _ in range(rounds):
            began = time.thread_time()
            for _ in range(checks):
                guard.check(action="write", tool=TOOL)
            taken.append((time.thread_time() - began) / checks * 1e6)
    return taken


def ordered_ms(server: Server, fleet: Fleet, rounds: int, *, stream: bool) -> list[float]:
    """From the first byte of the order that trips all agents at once to the last action of each."""
    taken: list[float] = []
    with agents_of(server.url, fleet.processes, fleet.each, stream=stream) as started:
        for _ in range(rounds):
            time.sleep(ORDERS_APART_S)  # so that every agent acts again after the round before
            began_ns = now_ns()
            trip_all(server)
            for agents in started:
                agents.wait_refused("trip")
                taken += last_actions_ms(agents, dict.fromkeys(agents.names, began_ns))
            reset_all(server)
            for agents in started:
                agents.wait_allowed()
    return taken


def last_actions_ms(agents: Agents, began_ns: dict[str, int]) -> list[float]:
    """Of each agent named: from its moment to its last action allowed; 0 where that came before."""
    latest = agents.latest()
    return [
        max(0.0, (latest[name].last_done_ns - moment) / NS_PER_MS)
        for name, moment in began_ns.items()
        if name in latest
    ]


def trip_all(server: Server) -> None:
    """One order that trips every agent here."""
    selector = {"environment": ENVIRONMENT, "tool": TOOL}
    _order(server, TRIPS_PATH, {"selector": selector, "mode": "off", "reason": "bench", "by": "alice"})


def reset_all(server: Server) -> None:
    """Lift every trip in force, as two people."""
    trips = [trip["id"] for trip in status(server)["trips"]]
    request = _order(server, RESETS_PATH, {"trips": trips, "reason": "bench", "by": "alice"})
    path = f"{RESETS_PATH}/{request['command']['id']}/approval"
    _order(server, path, {"reason": "bench", "by": "bob"})


def status(server: Server) -> dict[str, Any]:
    """`GET /v1/killswitch`."""
    head = f"GET /v1/killswitch HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {server.token}\r\n\r\n"
    return _ask(server, head.encode())


def closing(server: Server, fleet: Fleet) -> dict[str, Closed]:
    """The server is killed under agents of every kind; some are cut off or stopped as well."""
    names = ["server killed", "server killed, polling", "wall clock wrong", "SIGSTOP", "partition"]
    with ExitStack() as ended, running_proxy(server.port) as proxy:
        groups: dict[str, list[Agents]] = {name: [] for name in names}
        for number in range(fleet.processes):
            name = names[number % len(names)]
            url = proxy.url if name == "partition" else server.url
            agents = Agents(
                url,
                [f"closing-{number}-{each}" for each in range(fleet.each)],
                stream=name != "server killed, polling",
                wrong_clock=name == "wall clock wrong",
            )
            ended.callback(agents.end)
            groups[name] = [*groups[name], agents]
        for agents in _all(groups):
            agents.wait_allowed()
        time.sleep(fleet.renew_s)  # so that renewals lie anywhere within their interval
        began_ns = _disturb(server, proxy.partition, groups, fleet)
        for agents in _all(groups):
            agents.wait_refused("no lease")
        return {name: _closed(group, began_ns[name]) for name, group in groups.items() if group}


def _disturb(server: Server, partition: Any, groups: dict[str, list[Agents]], fleet: Fleet) -> dict[str, int]:
    """Do it all, and wait until the stopped ones went on after their leases. When each was done."""
    began_ns = dict.fromkeys(groups, 0)
    partition()
    began_ns["partition"] = now_ns()
    for agents in groups["SIGSTOP"]:
        agents.stop()
    began_ns["SIGSTOP"] = now_ns()
    os.kill(server.pid, signal.SIGKILL)
    for name in ("server killed", "server killed, polling", "wall clock wrong"):
        began_ns[name] = now_ns()
    time.sleep(fleet.lease_s + 1)
    for agents in groups["SIGSTOP"]:
        agents.go_on()
    return began_ns


def _closed(group: Sequence[Agents], began_ns: int) -> Closed:
    changes = [change for agents in group for change in agents.latest().values()]
    refused = [change for agents in group for change in agents.changes() if not change.allowed]
    ends = [(change.lease_end_ns - began_ns) / 1e9 for change in changes]
    return Closed(
        agents=len(changes),
        late_ms_max=max((c.last_asked_ns - c.lease_end_ns) / NS_PER_MS for c in changes),
        early=sum(change.at_ns < change.lease_end_ns for change in refused if change.last_asked_ns),
        refused_late_ms_max=max((c.at_ns - c.lease_end_ns) / NS_PER_MS for c in changes),
        first_s=min(ends),
        last_s=max(ends),
    )


def _all(groups: dict[str, list[Agents]]) -> list[Agents]:
    return [agents for group in groups.values() for agents in group]


def _order(server: Server, path: str, order: dict[str, Any]) -> dict[str, Any]:
    return _ask(server, post(path, order, server.token))


def _ask(server: Server, request: bytes) -> dict[str, Any]:
    connection = Connection(server.port)
    answer = connection.ask(request)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = next(
        int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")
    )
    while len(body) < length:  # a brace inside ended what was taken for the whole
        body += connection.answer()
    connection.close()
    if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
        raise SystemExit(f"auditfuse refused an order: {answer[:300]!r}")
    return json.loads(body)
