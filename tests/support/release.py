"""What a release leaves on a disk, small and always the same: a store, keys, a state database, a journal, and
what the server answers a client. Later releases must open it (tests/upgrades).

    python -m support.release DIRECTORY

makes it with the code that is there to be imported. What is random comes from one seed, and time is counted.
"""

import json
import os
import random
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import pytest
from support.audit import START_MS, TOPIC_ID, claim, command_row, event_row, origin
from support.checkpoint import Clock
from support.erase import erase, settings_in
from support.killswitch import running_switch, served
from support.respond import open_state, paging_to

from pipeline.audit.checkpoint.config import CheckpointConfig
from pipeline.audit.checkpoint.runner import new_sequencer
from pipeline.audit.compact import PartitionCompactor
from pipeline.audit.control import AppendRow, append_rows
from pipeline.audit.gap import accept_gap
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import CONTROL, FINDINGS, Store, StoreConfig
from pipeline.audit.writer import PartitionWriter, new_writer_id
from pipeline.detect import DetectConfig
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.journal import Journal, SealedCache
from pipeline.killswitch.switch import KillSwitch
from pipeline.respond.messages import Outbox
from pipeline.respond.silences import place_silence
from pipeline.respond.state import StateDatabase
from pipeline.tail import Handover, Tail
from pipeline.watch import Watch
from schemas.command import Command, Selector
from schemas.record import Row

ENDS = (60, 108)
"""Where the segments of a partition end; a row a second."""
REFUSED = range(36, 72)
"""The rows in which the agent is refused everything."""
LOST = 10
"""Offsets that were gone before they were sealed."""
AGENT = "invoice-agent"
HOUR_MS = 3_600_000
NOW_MS = START_MS + HOUR_MS
SEALED_TRIP, UNSEALED_TRIP = "trip_00000000000a", "trip_00000000000b"
ASKED = {
    "client": "0123456789abcdef",
    "agent": AGENT,
    "environment": "production",
    "version": "1.4.2",
    "acknowledges": None,
    "under_way": [],
}
"""A lease request as the client of that release sends it."""
_INDEX = re.compile("CREATE (UNIQUE )?INDEX")


@contextmanager
def seeded() -> Iterator[None]:
    """What is drawn at random is the same in each run."""
    source = random.Random(20_260_101)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "urandom", source.randbytes)
        patch.setattr(random, "_urandom", source.randbytes)
        yield


def rows_of(start: int, end: int, agent: str, *, partition: int = 0, refused: range = range(0)) -> list[Row]:
    """A row a second, from offset `start` to before `end`."""
    return [_row(offset, agent, partition, offset in refused) for offset in range(start, end)]


def _row(offset: int, agent: str, partition: int, is_refused: bool) -> Row:
    at_ms = START_MS + offset * 1000
    where = msgspec.structs.replace(origin(offset, partition=partition), broker_time_ms=at_ms)
    times = {"start_time_unix_nano": at_ms * 1_000_000, "duration_ns": 0, "trace_id": f"{offset:032x}"}
    outcome = {"outcome": "denied", "status": "error", "http_status": 403} if is_refused else {}
    return event_row(offset, agent_id=agent, origin=where, **times, **outcome)


def watch_of(folder: Path, state: StateDatabase) -> Watch:
    """Detection of what is sealed in that folder."""
    switch = KillSwitch(
        KillSwitchConfig(journal=folder / "unused"),
        append=cast("Any", lambda rows: []),
        read_sealed=cast("Any", lambda *_: iter(())),
        now_ms=lambda: NOW_MS,
    )
    return Watch(
        tail=Tail(Store(folder / "store"), Handover()),
        detect=DetectConfig(),
        state=state,
        switch=switch,
        snapshots=folder / "snapshots",
        on_found=lambda: None,
        now_ms=lambda: NOW_MS,
    )


def make(folder: Path) -> None:
    """Fill an empty folder."""
    clock = Clock(NOW_MS)
    with seeded():
        facts = _fill_store(folder, clock)
        facts |= _fill_state(folder)
        settings = settings_in(folder)
        erase(settings, f"trace={7:032x}", what="payload")
        clock.advance_s(60)
        new_sequencer(
            Store(folder / "store"),
            CheckpointConfig(state=folder / "checkpoint"),
            folder / "keys",
            now_ms=clock,
        ).run_once(take_over=True)
        facts |= _fill_journal(folder / "journal")
    shutil.copytree(folder / "journal", folder / "copy" / "journal")
    _ask_for_a_lease(folder / "copy")
    shutil.move(folder / "copy" / "lease.json", folder)
    (folder / "facts.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")


def _fill_store(folder: Path, clock: Clock) -> dict[str, Any]:
    """Two partitions, with every kind of entry that a healthy life has, and one halt that was decided."""
    store = Store(folder / "store")
    writer = claim(store)
    other = PartitionWriter.claim(store, TOPIC_ID, 1, writer_id=new_writer_id(), now_ms=clock)
    for end in ENDS:
        writer.seal(rows_of(writer.end, end, AGENT, refused=REFUSED), end)
        other.seal(rows_of(other.end, end, "quiet-agent", partition=1), end)
    writer.idle(writer.end, START_MS + 2 * HOUR_MS)
    other.halt("offsets were deleted before they were sealed", other.end)
    accept_gap(store, TOPIC_ID, 1, to=other.end + LOST, reason="known", by="ana", now_ms=clock)
    config = StoreConfig(path=folder / "store", compact_fan_in_files=2, superseded_grace_s=0)
    compactor = PartitionCompactor(store, TOPIC_ID, 1, config, writer_id=new_writer_id(), now_ms=clock)
    compactor.run_once()
    clock.advance_s(HOUR_MS / 1000)
    compactor.run_once()
    append_rows(store, CONTROL, [command_row(SEALED_TRIP)], writer_id=new_writer_id(), now_ms=clock)
    ends = {str(part): PartitionLog.open(store, TOPIC_ID, part).state.end for part in (0, 1)}
    return {"events": 2 * ENDS[-1], "ends": ends}


def _fill_state(folder: Path) -> dict[str, Any]:
    """What was found, one incident of it taken on, a silence, pages on their way; and `_findings`."""
    config = paging_to("json://127.0.0.1:9")
    state = open_state(folder, config)
    watch = watch_of(folder, state)
    while watch.step():
        pass
    incidents = state.incidents()
    state.acknowledge(incidents[0].incident_id, "ana", "looking", NOW_MS)
    later_ms = NOW_MS + HOUR_MS
    silence = {"agent": "quiet-agent", "until_ms": later_ms, "by": "ana", "reason": "load", "now_ms": NOW_MS}
    place_silence(state, config, **silence)
    waiting = Outbox(state, config).pending_appends(1_000)
    rows = [AppendRow.of(row) for _, row in waiting[:-1]]
    append_rows(Store(folder / "store"), FINDINGS, rows, writer_id=new_writer_id(), now_ms=lambda: NOW_MS)
    Outbox(state, config).appended([seq for seq, _ in waiting[:-1]])
    ends = {str(partition): end for (_, partition), end in state.sealed_ends().items()}
    state.close()
    with closing(sqlite3.connect(folder / "state.db")) as database:
        # Indexes are made in the order of a set.
        lines = [line for line in database.iterdump() if line != "COMMIT;"]
        indexes = sorted(line for line in lines if _INDEX.match(line))
        lines = [*(line for line in lines if not _INDEX.match(line)), *indexes, "COMMIT;"]
        (folder / "state.sql").write_text("\n".join(lines) + "\n")
    for file in folder.glob("state.db*"):
        file.unlink()
    findings = sorted(row.id for _, row in waiting if row.kind == "finding")
    return {"consumed": ends, "findings": findings, "incidents": [one.incident_id for one in incidents]}


def _fill_journal(path: Path) -> dict[str, Any]:
    """A trip that was sealed, and one that only the journal knows."""
    journal = Journal(path)
    trips = [
        Command(
            id=trip_id,
            command="trip",
            at_ms=START_MS,
            by="on-call@example",
            automatic=False,
            reason="write burst",
            selector=Selector(agent=AGENT),
            mode="off",
        )
        for trip_id in (SEALED_TRIP, UNSEALED_TRIP)
    ]
    journal.add(trips[1])
    journal.save_cache(SealedCache(offset=0, commands=[trips[0]], lifted=[]))
    journal.longest_lease_s(15.0)
    return {"trips": [SEALED_TRIP, UNSEALED_TRIP]}


def _ask_for_a_lease(folder: Path) -> None:
    """What a client asks and is answered, while the trips are in force."""
    with running_switch(folder / "journal") as switch, served(switch) as server:
        answer = httpx.post(f"{server.url}/v1/leases", json=ASKED, trust_env=False)
        answer.raise_for_status()
        said = answer.json()
    # The host's name is drawn for each process, and its clock is the machine's.
    said |= {"host": "host_000000000000", "at_ms": NOW_MS}
    (folder / "lease.json").write_text(json.dumps({"asked": ASKED, "answer": said}, indent=1) + "\n")


def main(target: Path) -> None:
    """Make it in the place of what is there."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        wanted = ("store", "keys", "checkpoint", "journal", "state.sql", "lease.json", "facts.json")
        for name in wanted:
            source = Path(folder, name)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
