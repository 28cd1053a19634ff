"""Restart: whenever detection stops, and however, findings and pages are those of one that went on."""

import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from sqlalchemy import select
from support.audit import START_MS, claim, event_row, origin, seal_batches
from support.long import by_form
from support.respond import open_state, paging_to
from support.signals import observe_all
from support.story import Story, config, settled

from detectors.auth_failure import AuthFailureConfig
from detectors.base import FloorConfig
from pipeline.audit.store import Store
from pipeline.detect import DetectConfig, Detection, Found
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.switch import KillSwitch
from pipeline.respond import tables
from pipeline.respond.state import StateDatabase
from pipeline.tail import Handover, Tail
from pipeline.watch import Watch
from schemas.record import Row

pytestmark = pytest.mark.timeout(300)

SETTINGS = config()
STORY = Story(short=True)
CUTS = 10
RESTARTS = by_form(short=45, long=100)
NOW_MS = START_MS + 1_200_000
"""The wall clock, a little after the last row: nothing is quiet for long enough to be over."""
ROWS = 12
"""Rows of a segment."""


def test_restarts_from_snapshots_find_the_same() -> None:
    """Restored after every batch, with batches delivered again."""
    expected, restarts = settled(observe_all(STORY.begun(SETTINGS), STORY.interleaved(0))), 0
    for seed in range(RESTARTS):
        chance, found = random.Random(seed), list[Found]()
        detection = STORY.begun(SETTINGS)
        for batch in STORY.interleaved(seed, CUTS):
            found += detection.observe(batch)
            detection = Detection.restore(SETTINGS, detection.snapshot())
            restarts += 1
            if chance.random() < 0.1:
                found += detection.observe(batch)
        assert settled(found) == expected
        if restarts >= RESTARTS:
            return


def segments() -> list[list[Row]]:
    """A second a row; now and then an agent is refused for some segments on end."""
    refused = {"outcome": "denied", "status": "error", "http_status": 403}
    return [
        [
            row_at(n, agent_id=f"agent-{segment // 9}", **(refused if segment % 9 in (3, 4, 5) else {}))
            for n in range(segment * ROWS, (segment + 1) * ROWS)
        ]
        for segment in range(RESTARTS)
    ]


def row_at(offset: int, **changes: Any) -> Row:
    """A row that many seconds after the first."""
    at_ms = START_MS + offset * 1000
    where = msgspec.structs.replace(origin(offset), broker_time_ms=at_ms)
    times = {"start_time_unix_nano": at_ms * 1_000_000, "duration_ns": 0, "trace_id": f"{offset:032x}"}
    return event_row(offset, origin=where, **times, **changes)


def watch(folder: Path, state: StateDatabase, detect: DetectConfig) -> Watch:
    switch = KillSwitch(
        KillSwitchConfig(journal=folder / "journal"),
        append=cast("Any", lambda rows: []),
        read_sealed=cast("Any", lambda *_: iter(())),
        now_ms=lambda: NOW_MS,
    )
    return Watch(
        tail=Tail(Store(folder / "store"), Handover()),
        detect=detect,
        state=state,
        switch=switch,
        snapshots=folder / "snapshots",
        on_found=lambda: None,
        now_ms=lambda: NOW_MS,
    )


def stop(one: Watch) -> None:
    """As when the process is asked to end: with a snapshot."""
    stopping = threading.Event()
    stopping.set()
    one.run(threading.Event(), stopping)


def consume(one: Watch) -> None:
    while one.step():
        pass


def told(state: StateDatabase) -> tuple[list[tuple[Any, ...]], Counter[tuple[Any, ...]]]:
    """(findings, pages) as the state database has them."""
    findings = select(tables.findings.c.finding_id, tables.findings.c.incident_id)
    pages = select(tables.pages.c.page_id, tables.pages.c.target, tables.pages.c.change)
    found = state.read(lambda connection: connection.execute(findings).all())
    paged = state.read(lambda connection: connection.execute(pages).all())
    return sorted(tuple(row) for row in found), Counter(tuple(row) for row in paged)


def a_state(folder: Path) -> StateDatabase:
    folder.mkdir(exist_ok=True)
    return open_state(folder, paging_to("json://127.0.0.1:9"))


def test_restarts_find_and_page_the_same(tmp_path: Path) -> None:
    """The process ends after every segment: asked to, or killed before or after it has committed."""
    chance, rows = random.Random(4), segments()
    once, often = tmp_path / "once", tmp_path / "often"
    calm = a_state(once)
    seal_batches(claim(Store(once / "store")), rows)
    consume(watch(once, calm, DetectConfig()))
    disturbed, writer = a_state(often), claim(Store(often / "store"))
    ends: Counter[str] = Counter()
    for segment in rows:
        seal_batches(writer, [segment])
        one = watch(often, disturbed, DetectConfig())
        how = chance.choices(["asked", "committed", "uncommitted"], [6, 2, 2])[0]
        ends[how] += 1
        if how == "uncommitted":
            one.fold()
            continue
        consume(one)
        if how == "asked":
            stop(one)
    consume(watch(often, disturbed, DetectConfig()))
    assert min(ends.values()) > RESTARTS // 10
    assert len(told(calm)[0]) > RESTARTS // 20
    assert told(disturbed) == told(calm)


def test_a_threshold_changed_and_restarted_pages_nothing_again(tmp_path: Path) -> None:
    refused = {"outcome": "denied", "status": "error", "http_status": 403}
    rows = [row_at(n, **refused) for n in range(600)]
    state, writer = a_state(tmp_path), claim(Store(tmp_path / "store"))
    seal_batches(writer, [rows[:300]])
    first = watch(tmp_path, state, DetectConfig())
    consume(first)
    stop(first)
    findings, pages = told(state)
    assert pages
    for number, limit in enumerate((19, 25, 15)):
        stricter = DetectConfig(auth_failure=AuthFailureConfig(floor=FloorConfig(per_minute=limit)))
        seal_batches(writer, [rows[300 + 100 * number : 400 + 100 * number]])
        restarted = watch(tmp_path, state, stricter)
        consume(restarted)
        stop(restarted)
    assert len(told(state)[0]) > len(findings)  # found under the new thresholds as well
    assert told(state)[1] == pages
    assert len(state.incidents(include_resolved=True)) == len({key for _, key in findings})
