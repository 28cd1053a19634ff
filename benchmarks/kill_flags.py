"""The server alone: flag evaluations a second, their latency, and how soon a trip is served."""

import os
import selectors
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.served import Connection, Server, evaluation, post

CONNECTIONS = 32
TRIPS_PATH = "/v1/killswitch/trips"
ANSWER_TIMEOUT_S = 10.0


class Load(NamedTuple):
    """Many connections that ask as fast as they are answered."""

    per_s: float
    per_cpu_s: float
    """By CPU second of the server's process."""


@contextmanager
def a_core_each(server: Server) -> Iterator[None]:
    """The server on the first core, this process on another; as they are where that cannot be set."""
    if not sys.platform.startswith("linux"):
        yield
        return
    before = os.sched_getaffinity(0)
    cores = sorted(before)
    _pin(server.pid, {cores[0]})
    os.sched_setaffinity(0, {cores[-1]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        _pin(server.pid, before)


def load(server: Server, seconds: float) -> Load:
    """Evaluations as fast as one server answers them."""
    process = psutil.Process(server.pid)
    request = evaluation("invoice-agent")
    connections = [Connection(server.port) for _ in range(CONNECTIONS)]
    selector = selectors.DefaultSelector()
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.socket.sendall(request)
    answered = 0
    cpu, began = _cpu_s(process), time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        for key, _ in selector.select(1):
            answer = key.data.answer()
            assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
            answered += 1
            key.data.socket.sendall(request)
    cpu = _cpu_s(process) - cpu
    for connection in connections:
        connection.close()
    selector.close()
    return Load(answered / (now - began), answered / max(cpu, 0.01))


def latencies_ms(server: Server, count: int) -> list[float]:
    """One connection, one request after the other."""
    connection = Connection(server.port)
    request = evaluation("invoice-agent")
    taken: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        connection.ask(request)
        taken.append((time.perf_counter() - began) * 1000)
    connection.close()
    return taken


def trips_ms(server: Server, count: int) -> list[float]:
    """From the order's first byte to the first flag that says no, each for an agent of its own."""
    orders, flags = Connection(server.port), Connection(server.port)
    taken = [_trip_ms(server, orders, flags, f"flagged-{number}") for number in range(count)]
    orders.close()
    flags.close()
    return taken


def _trip_ms(server: Server, orders: Connection, flags: Connection, agent: str) -> float:
    order = {"selector": {"agent": agent}, "mode": "off", "reason": "bench", "by": "bench"}
    request, question = post(TRIPS_PATH, order, server.token), evaluation(agent)
    assert b'"value":true' in flags.ask(question)
    answers: list[bytes] = []
    began = time.perf_counter()
    trip = threading.Thread(target=lambda: answers.append(orders.ask(request)))
    trip.start()
    while b'"value":true' in flags.ask(question):
        assert time.perf_counter() < began + ANSWER_TIMEOUT_S, "the trip was not served"
    taken_ms = (time.perf_counter() - began) * 1000
    trip.join()
    assert answers[0].startswith(b"HTTP/1.1 201"), answers[0][:300]
    return taken_ms


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _pin(pid: int, cores: set[int]) -> None:
    """All threads of a process; those it starts later follow."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)
