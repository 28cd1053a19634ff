"""What earlier releases left on a disk opens, verifies and goes on: sealing, folding, tripping, leasing."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from auditfuse_client.answers import read_grant
from support import release
from support.audit import TOPIC_ID
from support.killswitch import FakeControl, running_switch, served
from support.release import AGENT, HOUR_MS, NOW_MS, rows_of, watch_of
from support.respond import open_state, paging_to

from pipeline.audit.checkpoint.config import CheckpointConfig
from pipeline.audit.checkpoint.key import trusted_keys
from pipeline.audit.checkpoint.runner import new_sequencer
from pipeline.audit.compact import Compactor
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import Store, StoreConfig
from pipeline.audit.verify import Wanted, verify_store
from pipeline.audit.writer import PartitionWriter, new_writer_id
from pipeline.respond.messages import Outbox
from pipeline.respond.tables import SCHEMA_VERSION

GOLDEN = Path(__file__).with_name("golden")
RELEASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
THIS = "this one"
"""What is made anew by the code as it is, so that the next release can be kept here, too."""


class Left:
    """A copy of what a release left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: dict[str, Any] = json.loads((folder / "facts.json").read_text())
        self.now_ms = NOW_MS + 2 * HOUR_MS

    @property
    def store(self) -> Store:
        return Store(self.folder / "store")

    def clock(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def checkpoint(self) -> None:
        config = CheckpointConfig(state=self.folder / "checkpoint")
        sequencer = new_sequencer(self.store, config, self.folder / "keys", now_ms=self.clock)
        assert sequencer.run_once(take_over=True).newest is not None

    def verified_rows(self) -> int:
        """Verify everything, the checkpoints' signatures too; returns how many rows of events there are."""
        keys = trusted_keys(CheckpointConfig(), self.folder / "keys")
        report = verify_store(self.store, Wanted(keys=keys), workers=0)
        assert [str(fault) for fault in report.faults] == []
        unheld = {outcome.verdict for outcome in report.outcomes if outcome.state != "holds"}
        assert unheld <= {"anchored up to"}, "there is no anchor"
        return report.rows

    def writer(self, partition: int = 0) -> PartitionWriter:
        return PartitionWriter.claim(
            self.store, TOPIC_ID, partition, writer_id=new_writer_id(), now_ms=self.clock
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "made"
    release.main(folder)
    return folder


@pytest.fixture(params=[*RELEASES, THIS])
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Left:
    folder = tmp_path / "left"
    is_made = request.param == THIS
    shutil.copytree(request.getfixturevalue("made") if is_made else GOLDEN / request.param, folder)
    for path in folder.rglob("*"):  # the modes that it had: version control keeps none
        path.chmod(0o700 if path.is_dir() else 0o600)
    with closing(sqlite3.connect(folder / "state.db")) as database:
        database.executescript((folder / "state.sql").read_text())
    return Left(folder)


def test_a_store_verifies_and_goes_on(left: Left) -> None:
    before = left.verified_rows()
    assert before >= left.facts["events"]
    ends = {part: PartitionLog.open(left.store, TOPIC_ID, part).state.end for part in (0, 1)}
    assert ends == {int(part): end for part, end in left.facts["ends"].items()}
    for part, end in ends.items():
        left.writer(part).seal(rows_of(end, end + 20, AGENT, partition=part), end + 20)
    left.checkpoint()
    assert left.verified_rows() == before + 40
    config = StoreConfig(path=left.folder / "store", compact_fan_in_files=2)
    Compactor(left.store, config, writer_id=new_writer_id(), now_ms=left.clock).run_once()
    left.checkpoint()
    assert left.verified_rows() == before + 40


def test_what_was_found_is_found_no_second_time(left: Left) -> None:
    state = open_state(left.folder, paging_to("json://127.0.0.1:9"), upgrade=True)
    assert state.schema_version() == SCHEMA_VERSION
    assert {str(part): end for (_, part), end in state.sealed_ends().items()} == left.facts["consumed"]
    assert [one.incident_id for one in state.incidents()] == left.facts["incidents"]
    assert state.incidents()[0].status == "acknowledged"
    waiting = Outbox(state, paging_to("json://127.0.0.1:9")).pending_appends(100)
    end = left.facts["ends"]["0"]
    later = range(end + 200, end + 236)
    writer = left.writer()
    writer.seal(rows_of(end, end + 240, "other-agent", refused=later), end + 240)
    watch = watch_of(left.folder, state)
    while watch.step():
        pass
    assert state.sealed_ends()[TOPIC_ID, 0] == end + 240
    assert {one.agent_id for one in state.incidents()} == {AGENT, "other-agent"}
    fresh = Outbox(state, paging_to("json://127.0.0.1:9")).pending_appends(100)[len(waiting) :]
    told = [row.id for _, row in fresh if row.kind == "finding"]
    assert told
    assert not set(told) & set(left.facts["findings"])
    state.close()


def test_a_journal_still_trips(left: Left) -> None:
    with running_switch(left.folder / "journal", FakeControl()) as switch, served(switch) as server:
        asked = json.loads((left.folder / "lease.json").read_text())
        answer = httpx.post(f"{server.url}/v1/leases", json=asked["asked"], trust_env=False)
        assert answer.status_code == 200
        assert {trip["id"] for trip in answer.json()["trips"]} == set(left.facts["trips"])
        # A client of that release understands the answer: all that it was told then is told now.
        assert answer.json().keys() >= asked["answer"].keys()
        assert all(now.keys() == asked["answer"]["trips"][0].keys() for now in answer.json()["trips"])


def test_a_client_understands_the_server_of_that_release(left: Left) -> None:
    said = json.loads((left.folder / "lease.json").read_text())["answer"]
    grant = read_grant(json.dumps(said).encode())
    assert [(trip.id, trip.mode) for trip in grant.told.trips] == [
        (id_, "off") for id_ in left.facts["trips"]
    ]
