"""The kill switch: from finding to last action of 200 agents, failing closed, pages, flag evaluations."""

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks import kill_events, kill_flags, kill_switching
from benchmarks.kill_agents import agents_of
from benchmarks.kill_events import Found, Pages, Produce
from benchmarks.kill_flags import Load
from benchmarks.kill_server import free_port, running_under
from benchmarks.kill_switching import Closed, Fleet
from benchmarks.report import Arguments, Report, parse_arguments, percentile, show
from benchmarks.served import Server

ASKED_LAST_ACTION_MS = 1000.0
ASKED_PAGE_MS = 2500.0
ASKED_CHECK_US = 5.0
ASKED_OFREP_PER_S = 3000.0
POLL_SLACK_MS = 200.0


class Sizes(NamedTuple):
    """How much of everything is measured."""

    load_s: float = 3.0
    latencies: int = 3000
    served: int = 100
    pages: int = 40
    findings: int = 100
    orders: int = 10
    polled_orders: int = 4
    checks: int = kill_switching.CHECKS
    fleet: Fleet = Fleet(processes=10, each=20, lease_s=15, renew_s=5)


QUICK = Sizes(0.06, 60, 3, 1, 1, 1, 1, 1000, Fleet(processes=5, each=1, lease_s=2, renew_s=0.5))


class Alone(NamedTuple):
    """The server without agents."""

    loads: list[Load]
    latencies_ms: list[float]
    served_ms: list[float]
    check_us: list[float]


class Under(NamedTuple):
    """The server with agents under it."""

    pages_ms: list[float]
    found: list[Found]
    leases_lost: int
    """While findings were made: a renewal took longer than its lease lasts."""
    ordered_ms: list[float]
    polled_ms: list[float]
    closed: Mapping[str, Closed]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write build/bench-kill.json."""
    arguments = parse_arguments(__doc__, argv)
    sizes = QUICK if arguments.quick else Sizes()
    report = Report("bench-kill", arguments)
    alone, under = _measured(arguments, sizes)
    _switching_tables(report, sizes, under)
    _closing_table(report, sizes, under.closed)
    _server_tables(report, sizes, alone)
    _goals(report, sizes, alone, under)
    report.figures |= _figures(sizes, alone, under)
    report.finish()


def _measured(arguments: Arguments, sizes: Sizes) -> tuple[Alone, Under]:
    http_port = free_port()
    with ExitStack() as ended:
        folder = Path(ended.enter_context(tempfile.TemporaryDirectory(prefix="auditfuse-bench-")))
        bootstrap = None if arguments.quick else ended.enter_context(kill_events.kafka(folder))
        pages = kill_events.Pages()
        ended.callback(pages.close)
        server = ended.enter_context(running_under(folder, sizes.fleet, pages.url, bootstrap, http_port))
        if bootstrap is None:
            produce = kill_events.by_http(http_port)
        else:
            produce = ended.enter_context(kill_events.producer(bootstrap))
        alone = _alone(server, arguments.rounds, sizes)
        return alone, _under(server, produce, pages, sizes)


def _alone(server: Server, rounds: int, sizes: Sizes) -> Alone:
    with kill_flags.a_core_each(server):
        kill_flags.load(server, 0.2)
        loads = [kill_flags.load(server, sizes.load_s) for _ in range(rounds)]
    return Alone(
        loads,
        kill_flags.latencies_ms(server, sizes.latencies),
        kill_flags.trips_ms(server, sizes.served),
        kill_switching.check_us(server, rounds, sizes.checks),
    )


def _under(server: Server, produce: Produce, pages: Pages, sizes: Sizes) -> Under:
    fleet = sizes.fleet
    pages_ms = kill_events.produced_to_page_ms(produce, pages, sizes.pages)
    with agents_of(server.url, fleet.processes, fleet.each) as started:
        found = kill_events.findings_to_last_actions(server, produce, started, sizes.findings)
        lost = sum(agents.leases_lost() for agents in started)
    kill_switching.reset_all(server)
    ordered_ms = kill_switching.ordered_ms(server, fleet, sizes.orders, stream=True)
    polled_ms = kill_switching.ordered_ms(server, fleet, sizes.polled_orders, stream=False)
    return Under(pages_ms, found, lost, ordered_ms, polled_ms, kill_switching.closing(server, fleet))


def _switching_tables(report: Report, sizes: Sizes, under: Under) -> None:
    fleet = sizes.fleet
    report.table(
        ["to the last action allowed", "actions", "p50, ms", "p95, ms", "p99, ms", "most, ms"],
        [
            _row("from the finding, automatic trip, by stream", [f.from_found_ms for f in under.found]),
            _row("from before its events were produced", [f.from_produced_ms for f in under.found]),
            _row("from an order that trips all at once, by stream", under.ordered_ms),
            _row(f"the same without the stream, renewing every {fleet.renew_s:g} s", under.polled_ms),
        ],
    )
    report.note(
        f"{fleet.agents} agents with the client in {fleet.processes} processes, each with its own lease, "
        "connections and threads, asking every 5 ms, against one `auditfuse run` on loopback."
    )
    report.table(
        ["from the event to the page", "pages", "p50, ms", "p95, ms", "p99, ms", "most, ms"],
        [_row("produced to Kafka → page at the webhook", under.pages_ms)],
    )
    report.note(
        f"{kill_events.REFUSALS} refused events of one agent, handed in at any moment of the seal's second, "
        "one agent at a time; from before the first is sent. The floor of `auth_failure`, the default "
        "configuration."
    )


def _closing_table(report: Report, sizes: Sizes, closed: Mapping[str, Closed]) -> None:
    report.table(
        [
            "without the server",
            "agents",
            "closed after, s",
            "allowed after the lease",
            "refused before its end",
        ],
        [
            [
                name,
                str(one.agents),
                f"{one.first_s:.1f} – {one.last_s:.1f}",
                f"{show(one.late_ms_max)} ms" if one.late_ms_max > 0 else "none",
                str(one.early),
            ]
            for name, one in closed.items()
        ],
    )
    report.note(
        f"Leases of {sizes.fleet.lease_s:g} s, renewed every {sizes.fleet.renew_s:g} s. SIGSTOP: stopped as "
        "the server is killed, continued a second after the leases' end. Partition: a proxy lets nothing "
        "pass. Wrong clock: the process's wall clock jumps by an hour at every look."
    )


def _server_tables(report: Report, sizes: Sizes, alone: Alone) -> None:
    report.table(
        ["flag evaluations, the server on one core", ""],
        [
            [
                f"per second, {kill_flags.CONNECTIONS} connections",
                show(statistics.median(x.per_s for x in alone.loads)),
            ],
            ["per CPU second of the server", show(statistics.median(x.per_cpu_s for x in alone.loads))],
            ["`guard.check`, CPU µs", show(statistics.median(alone.check_us))],
        ],
    )
    report.table(
        ["latency", "times", "p50, ms", "p95, ms", "p99, ms", "most, ms"],
        [
            _row("one evaluation, one connection", alone.latencies_ms),
            _row("trip ordered → flag says no", alone.served_ms),
        ],
    )
    report.note(
        f"{sizes.load_s:g} s of load a round from the other core. One event loop in one process answers. A "
        "trip is served from memory before it is journaled and sealed; while it is ordered on a connection, "
        "another asks for the flag without pause."
    )


def _goals(report: Report, sizes: Sizes, alone: Alone, under: Under) -> None:
    figures = _figures(sizes, alone, under)
    late_ms = figures["fail_closed_late_ms_max"]
    report.table(
        ["asked", "measured", "at most", ""],
        [
            _goal(
                "finding → last action, p99 ms",
                figures["finding_to_last_action_p99_ms"],
                ASKED_LAST_ACTION_MS,
            ),
            _goal(
                "the same by polling, p99 ms",
                figures["polled_to_last_action_p99_ms"],
                sizes.fleet.renew_s * 1000 + POLL_SLACK_MS,
            ),
            _goal("produced → page, p99 ms", figures["produced_to_page_p99_ms"], ASKED_PAGE_MS),
            _goal("`guard.check`, µs", figures["check_us"], ASKED_CHECK_US),
            _goal("allowed after the lease, ms", late_ms, 0.0),
            _goal("refused before the lease's end", figures["fail_closed_early"], 0.0),
        ],
    )
    per_s = figures["ofrep_per_s"]
    short = "" if per_s >= ASKED_OFREP_PER_S else " **Missed.**"
    report.note(f"Asked of one core: {ASKED_OFREP_PER_S:,.0f} evaluations a second; {show(per_s)}.{short}")


def _figures(sizes: Sizes, alone: Alone, under: Under) -> dict[str, float]:
    last_ms = [found.from_found_ms for found in under.found]
    produced_ms = [found.from_produced_ms for found in under.found]
    closed = under.closed.values()
    return {
        "finding_to_last_action_p50_ms": statistics.median(last_ms),
        "finding_to_last_action_p95_ms": percentile(last_ms, 0.95),
        "finding_to_last_action_p99_ms": percentile(last_ms, 0.99),
        "produced_to_last_action_p50_ms": statistics.median(produced_ms),
        "produced_to_last_action_p99_ms": percentile(produced_ms, 0.99),
        "order_to_last_action_p50_ms": statistics.median(under.ordered_ms),
        "order_to_last_action_p99_ms": percentile(under.ordered_ms, 0.99),
        "polled_to_last_action_p99_ms": percentile(under.polled_ms, 0.99),
        "produced_to_page_p50_ms": statistics.median(under.pages_ms),
        "produced_to_page_p99_ms": percentile(under.pages_ms, 0.99),
        "check_us": statistics.median(alone.check_us),
        "ofrep_per_s": statistics.median(load.per_cpu_s for load in alone.loads),
        "ofrep_per_s_wall": statistics.median(load.per_s for load in alone.loads),
        "ofrep_p50_ms": statistics.median(alone.latencies_ms),
        "ofrep_p99_ms": percentile(alone.latencies_ms, 0.99),
        "trip_to_served_p50_ms": statistics.median(alone.served_ms),
        "trip_to_served_p99_ms": percentile(alone.served_ms, 0.99),
        "fail_closed_late_ms_max": max(0.0, *(one.late_ms_max for one in closed)),
        "leases_lost": under.leases_lost,
        "fail_closed_early": sum(one.early for one in closed),
        "agents": sizes.fleet.agents,
    }


def _row(what: str, values: Sequence[float]) -> list[str]:
    shares = [percentile(values, share) for share in (0.5, 0.95, 0.99)]
    return [what, f"{len(values):,}", *map(show, [*shares, max(values)])]


def _goal(what: str, figure: float, most: float) -> list[str]:
    return [what, show(figure), f"{most:,g}", "" if figure <= most else "missed"]


if __name__ == "__main__":
    main()
