"""What a million events a second would take, from the figures of `make bench`: arithmetic, no measurement.

python -m benchmarks.extrapolate            # reads build/bench.json, prints the tables of docs/scale.md
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import ROOT, show

PAGE = ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- from make bench -->", "<!-- to here -->"
EVENTS_PER_S = 1_000_000
HOST_CORES = 32
HEADROOM = 0.6
"""Of its cores, so much of a host is planned for: peaks, compaction, a member that is away."""
PARTITION_PER_S = 2_000
"""Of one partition: small enough to move within seconds, large enough for full segments."""
SEAL_S = 1.0
DAY_S = 86_400
FAN_IN = 16
SIGNALS_PER_S = 100_000
"""What one fold of detection takes, by make bench-detect at 10,000 keys."""
PUT_USD, STORED_USD = 5e-6, 0.023
"""List prices of a large object store: a PUT, and a GB kept for a month."""


class Need(NamedTuple):
    """One line: what, how much, and how it follows."""

    what: str
    amount: str
    why: str


def needs(figures: Mapping[str, Any], events_per_s: int = EVENTS_PER_S) -> list[Need]:
    """What that many native events a second take, on hosts like the one that was measured."""
    us = 1e6 / float(figures["events_per_s_core"])
    sealed_bytes = float(figures["sealed_bytes_an_event"])
    catalog_ms = float(figures["catalog_ms_a_segment"])
    cores = events_per_s * us / 1e6
    hosts = math.ceil(cores / (HOST_CORES * HEADROOM))
    partitions = math.ceil(events_per_s / PARTITION_PER_S)
    seals = partitions / SEAL_S * DAY_S
    objects = seals * 2 * (1 + 1 / FAN_IN)
    stored_tb = events_per_s * DAY_S * sealed_bytes / 1e12
    live = partitions * 1_000
    shards = math.ceil(events_per_s / SIGNALS_PER_S)
    return [
        Need("cores that ingest", show(cores), f"{us:,.0f} CPU µs an event"),
        Need("hosts that ingest", f"{hosts:,}", f"{HOST_CORES} cores, {HEADROOM:.0%} planned for"),
        Need("input partitions", f"{partitions:,}", f"{PARTITION_PER_S:,} events/s each"),
        Need("shards of detection", f"{shards:,}", f"{SIGNALS_PER_S:,} signals a CPU second, one core each"),
        Need(
            "objects written a day",
            show(objects),
            f"segment and entry, each {SEAL_S:g} s, and merging",
        ),
        Need("… at list prices, a day", f"${objects * PUT_USD:,.0f}", "PUTs alone"),
        Need("TB sealed a day", show(stored_tb), f"{sealed_bytes:,.0f} bytes an event, payloads included"),
        Need("… kept a month, a month", f"${stored_tb * 1000 * 30 * STORED_USD:,.0f}", "without thinning"),
        Need("live segments", f"{live:,}", "at most 1,000 a partition"),
        Need(
            "a build of the catalog", f"{live * catalog_ms / 1000:,.0f} s", f"{catalog_ms:.2f} ms a segment"
        ),
    ]


def tables(figures: Mapping[str, Any]) -> str:
    """What was measured of several processes, and what follows for a million events a second, in Markdown."""
    lines = ["| ingest processes | events/s together | CPU µs an event |", "|---|---:|---:|"]
    per_s, us = figures["processes_per_s"], figures["processes_us"]
    lines += [f"| {count} | {show(per_s[count])} | {show(us[count])} |" for count in per_s]
    machine, rounds = figures["machine"], figures["rounds"]
    lines += [
        "",
        f"{machine}; medians of {rounds} rounds. Two cores: {figures['scale_2_cores']:.2f} times one.",
    ]
    lines += ["", f"| at {EVENTS_PER_S:,} native events/s | | |", "|---|---:|---|"]
    lines += [f"| {need.what} | {need.amount} | {need.why} |" for need in needs(figures)]
    return "\n".join(lines)


def put_into(page: str, text: str) -> str:
    """The page with `text` between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise ValueError(f"there is no {BEGIN} and {END} in it")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables, or put them into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=Path, default=ROOT / "build" / "bench.json")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    asked = parser.parse_args(argv)
    try:
        text = tables(json.loads(asked.figures.read_text()))
    except (OSError, ValueError, KeyError) as error:
        print(f"{asked.figures} does not hold what is needed ({error}): run make bench", file=sys.stderr)
        return 2
    if asked.write:
        PAGE.write_text(put_into(PAGE.read_text(), text))
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
