"""Long trials of paging, with short forms in the tests: `python -m support.page_trials storm|outage|kills`.

storm: 10,000 findings in a minute. outage: every target down for an hour. Both let a clock of their own
run, real deliverers and a real webhook. kills: `kill -9` of the responder at 200 random moments.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select
from support.respond import START_MS, Found, found, open_state, paging_to
from support.webhook import Webhook, running_webhook

from pipeline.respond import tables
from pipeline.respond.outbox import Deliverer
from pipeline.respond.pager import ApprisePager
from pipeline.respond.plan import SUMMARY
from pipeline.respond.state import StateDatabase
from pipeline.respond.upkeep import Upkeep

CHILD = Path(__file__).parents[1] / "respond" / "crash_child.py"
WORST = "worst-agent"
SIZES = {"storm": 10_000, "outage": 60, "kills": 280}
"""Of the kills: incidents. About three in four are killed over, since some are delivered before."""
"""Findings, minutes, moments."""
INCIDENTS_A_MINUTE = 5


class Clocked:
    """A responder whose clock is set by its trial: an hour of it takes seconds."""

    def __init__(self, directory: Path, webhook: Webhook, **changes: object) -> None:
        config = paging_to(webhook.url, per_minute=10, **changes)
        self.now_ms = START_MS
        self.state: StateDatabase = open_state(directory, config)
        self._deliverer = Deliverer(
            self.state, lambda rows: None, ApprisePager(config), config, lambda: self.now_ms
        )
        self._upkeep = Upkeep(self.state, config, lambda: self.now_ms)
        self.sent_at_ms: list[int] = []
        self._webhook = webhook

    def run(self, seconds: int, step_s: int = 1) -> None:
        for _ in range(0, seconds, step_s):
            self._upkeep.step()
            before = len(self._webhook.requests)
            self._deliverer.drain_once()
            self.sent_at_ms += [self.now_ms] * (len(self._webhook.requests) - before)
            self.now_ms += step_s * 1_000


class Storm(NamedTuple):
    """What a storm made."""

    findings: int
    pages: int
    place_of_worst: int
    """Among the pages, from 1."""
    incidents: int
    without_incident: int
    told: int
    """Incidents that a page or a summary tells."""


def storm(directory: Path, webhook: Webhook, findings: int, worst_at_s: int, seed: int = 0) -> Storm:
    """So many findings within a minute, of many agents and detectors, with the default rate limits. One of
    them has tripped an agent, and comes at a second of its own."""
    chance = random.Random(seed)
    responder = Clocked(directory, webhook)
    per_second = -(-findings // 60)
    for second in range(60):
        batch = [_one_of_many(chance, second * per_second + n) for n in range(per_second)]
        trips: dict[str, str] = {}
        if second == worst_at_s:
            worst = found(WORST, detector="auth_failure")
            batch.insert(chance.randrange(len(batch) + 1), worst)
            trips[worst.finding.finding_id] = "tripped to off (trip_1)"
        responder.state.consume(batch, {}, responder.now_ms, trips)
        responder.run(1)
    responder.run(120)
    titles = [request["title"] for request in webhook.requests]
    place = next((n for n, title in enumerate(titles, 1) if f" {WORST} " in title), 0)
    rows = responder.state.read(lambda connection: connection.execute(select(tables.pages)).all())
    of_findings = responder.state.read(
        lambda connection: connection.execute(select(tables.findings.c.incident_id)).all()
    )
    incidents = {one.incident_id for one in responder.state.incidents(limit=findings)}
    responder.state.close()
    return Storm(
        findings=len(of_findings),
        pages=len(titles),
        place_of_worst=place,
        incidents=len(incidents),
        without_incident=sum(row.incident_id not in incidents for row in of_findings),
        told=len({row.incident_id for row in rows if row.state == "sent" and row.incident_id}),
    )


def _one_of_many(chance: random.Random, number: int) -> Found:
    return found(
        f"agent-{chance.randrange(3_000)}",
        number,
        detector=chance.choice(["write_burst", "error_spike", "latency", "token_burst"]),
        severity=chance.choice(["warning", "warning", "warning", "critical"]),
    )


class Outage(NamedTuple):
    """What an hour without any target made."""

    open: int
    told_of_open: Counter[str]
    """How often each open incident was told after the hour."""
    lines_of_resolved: int
    undelivered: int


def outage(directory: Path, webhook: Webhook, minutes: int, incidents: int) -> Outage:
    """Every target is down for so long, while incidents open and some are over; then all are up."""
    responder = Clocked(directory, webhook, backoff_first_s=1, backoff_max_s=300)
    webhook.status = 503
    paged: list[str] = []
    for minute in range(minutes):
        due = incidents * (minute + 1) // minutes - len(paged)
        fresh = [found(f"agent-{len(paged) + n}") for n in range(due)]
        paged += responder.state.consume(fresh, {}, responder.now_ms).paged
        responder.run(60, 10)
    over = paged[::3]
    for incident_id in over:
        responder.state.resolve(incident_id, "maria", "fixed", responder.now_ms)
    assert webhook.requests == []
    webhook.status = 200
    responder.run(600, 5)
    told = responder.state.read(lambda connection: connection.execute(select(tables.pages)).all())
    sent = {row.page_id for row in told if row.state == "sent" and row.change == SUMMARY}
    in_one = Counter(
        row.incident_id
        for row in told
        if row.state == "sent" and (row.told_in is None or row.told_in in sent)
    )
    lines = sum("resolved before they could be told" in one["title"] for one in webhook.requests)
    undelivered = sum(responder.state.undelivered().values())
    responder.state.close()
    counts = Counter({one: in_one[one] for one in paged if one not in set(over)})
    return Outage(len(counts), counts, lines, undelivered)


class Kills(NamedTuple):
    """What a responder made that was killed again and again."""

    kills: int
    incidents: int
    told: int
    most_repeats: int
    """Of any one page, at a webhook that does not deduplicate."""
    sealed_twice: int


def kills(directory: Path, webhook: Webhook, count: int) -> Kills:
    """`kill -9` at so many random moments between findings and their delivery."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, [CHILD.parents[1], CHILD.parents[2]])),
    }
    command = [sys.executable, str(CHILD), webhook.url, str(directory), "moments", str(count)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=1_800, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    rows = (directory / "sealed").read_text().split()
    return Kills(
        kills=int(done.stdout.split()[-1]),
        incidents=len(rows) // 2,
        told=len(webhook.by_dedup_key),
        most_repeats=max(webhook.repeats.values(), default=0),
        sealed_twice=len(rows) - len(set(rows)),
    )


def main() -> int:
    """Run one trial in its full length; 0 where it holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trial", choices=list(SIZES))
    parser.add_argument("--size", type=int, help="findings, minutes of the outage, or incidents")
    chosen = parser.parse_args()
    size = chosen.size or SIZES[chosen.trial]
    print(f"{chosen.trial} of {size:,} …", flush=True)
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, running_webhook() as webhook:
        holds = _run(chosen.trial, Path(folder), webhook, size)
    print(f"{time.monotonic() - started_s:.0f} s; it {'holds' if holds else 'DOES NOT HOLD'}")
    return 0 if holds else 1


def _run(trial: str, folder: Path, webhook: Webhook, size: int) -> bool:
    if trial == "storm":
        made = storm(folder, webhook, size, worst_at_s=37)
        print(made)
        return made.pages <= 10 and 1 <= made.place_of_worst <= 3 and made.without_incident == 0
    if trial == "outage":
        lasted = outage(folder, webhook, size, size * INCIDENTS_A_MINUTE)
        print(
            lasted._replace(told_of_open=Counter(lasted.told_of_open.values())), "(incidents by times told)"
        )
        return set(lasted.told_of_open.values()) == {1} and lasted.lines_of_resolved == 1
    killed = kills(folder, webhook, size)
    print(killed)
    return killed.told == killed.incidents and killed.most_repeats <= 1 and killed.sealed_twice == 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main())
