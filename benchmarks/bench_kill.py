"""The kill switch: flag evaluations/s of a real server, their latency, and how soon a trip is served."""

import selectors
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.report import Report, parse_arguments, percentile, show
from benchmarks.served import Connection, Server, evaluation, post, running

CONNECTIONS = 32
LOAD_S = 3.0
LATENCIES = 3000
TRIPS = 100
TRIPS_PATH = "/v1/killswitch/trips"
ANSWER_TIMEOUT_S = 10.0


class Load(NamedTuple):
    """Many connections that ask as fast as they are answered."""

    per_s: float
    per_cpu_s: float
    """By CPU second of the server's process."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write build/bench-kill.json."""
    arguments = parse_arguments(__doc__, argv)
    report = Report("bench-kill", arguments)
    scale = 0.02 if arguments.quick else 1.0
    with tempfile.TemporaryDirectory(prefix="auditfuse-bench-") as folder, running(Path(folder)) as server:
        _load(server, 0.2)
        loads = [_load(server, LOAD_S * scale) for _ in range(arguments.rounds)]
        alone_ms = _latencies_ms(server, int(LATENCIES * scale))
        served_ms = _trips_ms(server, max(3, int(TRIPS * scale)))
    _tables(report, loads, alone_ms, served_ms)
    report.figures |= {
        "ofrep_per_s": statistics.median(load.per_cpu_s for load in loads),
        "ofrep_per_s_wall": statistics.median(load.per_s for load in loads),
        "ofrep_p50_ms": statistics.median(alone_ms),
        "ofrep_p99_ms": percentile(alone_ms, 0.99),
        "trip_to_served_p50_ms": statistics.median(served_ms),
        "trip_to_served_p99_ms": percentile(served_ms, 0.99),
        "trips": len(served_ms),
    }
    report.finish()


def _load(server: Server, seconds: float) -> Load:
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


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _latencies_ms(server: Server, count: int) -> list[float]:
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


def _trips_ms(server: Server, count: int) -> list[float]:
    """From the order's first byte to the first flag that says no, each for an agent of its own."""
    orders, flags = Connection(server.port), Connection(server.port)
    taken = [_trip_ms(server, orders, flags, f"agent-{number}") for number in range(count)]
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


def _tables(report: Report, loads: list[Load], alone_ms: list[float], served_ms: list[float]) -> None:
    report.table(
        ["flag evaluations", ""],
        [
            [f"per second, {CONNECTIONS} connections", show(statistics.median(x.per_s for x in loads))],
            ["per CPU second of the server", show(statistics.median(x.per_cpu_s for x in loads))],
        ],
    )
    report.table(
        ["latency", "p50, ms", "p99, ms", "most, ms"],
        [
            ["one evaluation, one connection", *_quantiles(alone_ms)],
            [f"trip ordered → flag says no ({len(served_ms)} trips)", *_quantiles(served_ms)],
        ],
    )
    report.note(
        f"A real `auditfuse run` on local topics, HTTP/1.1 keep-alive on loopback, {LOAD_S:g} s of load a "
        "round. One event loop in one process answers; the client that loads it runs on the same machine "
        "and bounds the wall-clock rate too. A trip is served from memory before it is journaled and "
        "sealed; while it is ordered on one connection, another asks for the flag without pause."
    )


def _quantiles(values_ms: list[float]) -> list[str]:
    return [show(statistics.median(values_ms)), show(percentile(values_ms, 0.99)), show(max(values_ms))]


if __name__ == "__main__":
    sys.exit(main())
