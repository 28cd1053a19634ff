"""What must not go on by itself halts, says why and how to go on; the rest goes on. On a real broker."""

import asyncio
import contextlib
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.broker import KafkaTopics, TestBroker
from support.produce import produce, unique
from support.running import Running, auditfuse, free_port, sealed_rows, wait_until, write_config
from support.service import QUICK, event, kafka, query, source, verified

from pipeline.audit.log import PartitionLog
from pipeline.audit.store import Store
from pipeline.audit.writer import PartitionWriter
from pipeline.clock import system_now_ms

pytestmark = [pytest.mark.kafka_apache, pytest.mark.timeout(180)]

GOES_ON_WITHIN_S = 5.0


class Recorder:
    """A server that records three topics, each of which is to have a fate of its own."""

    def __init__(self, folder: Path, broker: TestBroker) -> None:
        self.folder, self.bootstrap = folder, broker.bootstrap
        self.topics = KafkaTopics(broker)
        self.expired, self.cut, self.recreated = map(unique, ("expired", "cut", "recreated"))
        asyncio.run(self._create())
        port = free_port()
        write_config(
            folder,
            data_dir=str(folder),
            kafka=kafka(broker.bootstrap, self.expired),
            sources=[source(name) for name in (self.expired, self.cut, self.recreated)],
            killswitch={"port": port},
            **QUICK,
        )
        self.server = Running(folder, port)

    async def _create(self) -> None:
        await self.topics.create(self.expired, 2)
        await self.topics.create(self.cut)
        await self.topics.create(self.recreated)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def produce(self, topic: str, count: int, partitions: int = 1, action: str = "lookup_invoice") -> None:
        asyncio.run(produce(self.bootstrap, topic, [event(action=action) for _ in range(count)], partitions))

    def topic_ids(self, topic: str) -> list[str]:
        """Every topic id of that name in the store."""
        return sorted({one for one, _ in Store(self.store).partitions() if one.startswith(topic + ".")})

    def rows(self, topic: str, partition: int = 0) -> int:
        """Rows sealed of a partition, under whatever topic id."""
        logs = [PartitionLog.open(Store(self.store), one, partition) for one in self.topic_ids(topic)]
        return sum(log.state.rows for log in logs)

    def halted(self) -> dict[str, dict[str, Any]]:
        """`auditfuse gap list`, by the topic's name."""
        done = auditfuse("gap", "list", "--config", "auditfuse.toml", "--json", cwd=self.folder)
        return {one["topic_id"].rpartition(".")[0]: one for one in json.loads(done.stdout)}

    def halted_by_metrics(self) -> float:
        """What /metrics says of all sources together."""
        status, body = self.server.get("/metrics")
        assert status == 200
        lines = body.decode().splitlines()
        return sum(
            float(line.split()[-1]) for line in lines if line.startswith("auditfuse_halted_partitions")
        )


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory, kafka: TestBroker) -> Iterator[Recorder]:
    """Stopped once, for its topics to be tampered with, and started again."""
    recorder = Recorder(tmp_path_factory.mktemp("halts"), kafka)
    with recorder.server as server:
        server.wait_ready()
        recorder.produce(recorder.expired, 20, partitions=2)
        recorder.produce(recorder.cut, 10)
        recorder.produce(recorder.recreated, 30, action="before")
        wait_until(lambda: sealed_rows(recorder.store) == 60, 60, "60 rows sealed")
        assert server.stop() == 0
        recorder.produce(recorder.expired, 20, partitions=2)
        asyncio.run(recorder.topics.delete_below(recorder.expired, 0, 15))
        _seal_beyond_the_end(recorder)
        server.restart()
        server.wait_ready()
        yield recorder


def _seal_beyond_the_end(recorder: Recorder) -> None:
    """As after a broker that lost its newest messages: the store has accounted for more than it holds."""
    (topic_id,) = recorder.topic_ids(recorder.cut)
    writer = PartitionWriter.claim(
        Store(recorder.store), topic_id, 0, writer_id="f" * 32, now_ms=system_now_ms
    )
    writer.idle(100, system_now_ms())


def test_what_was_deleted_before_it_was_sealed_halts_its_partition_alone(recorder: Recorder) -> None:
    wait_until(lambda: recorder.rows(recorder.expired, 1) == 20, 30, "the other partition goes on")
    wait_until(lambda: recorder.halted_by_metrics() == 2, 30, "/metrics shows both halted partitions")
    halted = recorder.halted()
    assert sorted(halted) == sorted([recorder.expired, recorder.cut])
    assert (halted[recorder.expired]["partition"], halted[recorder.expired]["end"]) == (0, 10)
    reason = "offsets 10 to 14 were deleted from the topic before they were sealed; it begins at 15 now"
    assert halted[recorder.expired]["halted"] == reason
    status, body = recorder.server.get("/readyz")
    conditions = json.loads(body)["conditions"]
    assert (status, conditions[f"partition 0 of source {recorder.expired} halted"]) == (200, reason)
    shown = auditfuse("gap", "list", "--config", "auditfuse.toml", cwd=recorder.folder).stdout
    assert reason in shown
    assert f"auditfuse gap accept {halted[recorder.expired]['topic_id']} 0 --to OFFSET" in shown
    assert recorder.rows(recorder.expired, 0) == 10


def test_an_end_beyond_the_topic_halts(recorder: Recorder) -> None:
    wait_until(lambda: recorder.halted_by_metrics() == 2, 30, "/metrics shows both halted partitions")
    halted = recorder.halted()[recorder.cut]
    assert halted["end"] == 100
    assert halted["halted"] == (
        "the store is sealed up to offset 100, the topic ends at 10: it is not the topic that it was; "
        "give its source a new topic"
    )
    recorder.produce(recorder.cut, 5)
    assert recorder.rows(recorder.cut) == 10


def test_an_accepted_gap_lets_it_go_on_within_seconds_and_is_told_for_ever(recorder: Recorder) -> None:
    wait_until(lambda: recorder.halted_by_metrics() == 2, 30, "halted")
    decision = ("--to", "15", "--reason", "retention, incident 812", "--by", "ana")
    where = (recorder.expired, "0", "--config", "auditfuse.toml")
    auditfuse("gap", "accept", *where, *decision, cwd=recorder.folder)
    wait_until(lambda: recorder.rows(recorder.expired, 0) == 15, 30, "the rows after the gap sealed")
    (topic_id,) = recorder.topic_ids(recorder.expired)
    entries = list(PartitionLog(Store(recorder.store), topic_id, 0).entries_after(-1))
    accepted, *later = entries[[entry.kind for entry in entries].index("gap") :]
    went_on_s = (next(entry.at_ms for entry in later if entry.kind == "seal") - accepted.at_ms) / 1000
    print(f"\ngap accepted, rows after it sealed: {went_on_s:.2f} s")
    assert went_on_s < GOES_ON_WITHIN_S
    wait_until(lambda: recorder.halted_by_metrics() == 1, 10, "/metrics shows one halted partition")
    outcomes = {one["verdict"]: one for one in verified(recorder.folder)["outcomes"]}
    (told,) = [line for line in outcomes["offsets complete"]["details"] if recorder.expired in line]
    assert "10 to 14" in told
    assert "by ana" in told
    assert told.endswith("retention, incident 812")
    recorder.produce(recorder.expired, 10, partitions=2)
    wait_until(lambda: recorder.rows(recorder.expired, 0) == 20, 30, "it goes on as any other")


def test_a_topic_made_anew_under_a_running_worker_is_another_topic(recorder: Recorder) -> None:
    """It does not see the topic go: it stands still meanwhile, as in a pause of its machine."""
    (old,) = recorder.topic_ids(recorder.recreated)
    recorder.server.process.send_signal(signal.SIGSTOP)
    asyncio.run(recorder.topics.recreate(recorder.recreated))
    recorder.produce(recorder.recreated, 80, action="after")
    recorder.server.process.send_signal(signal.SIGCONT)
    wait_until(lambda: recorder.rows(recorder.recreated) >= 110, 60, "the new topic's rows sealed")
    (new,) = set(recorder.topic_ids(recorder.recreated)) - {old}
    counted = query(
        recorder.folder,
        'select topic_id, action, count(*) as n, min("offset") as first, max("offset") as last from events '
        f"where topic_id in ('{old}', '{new}') group by all order by action desc",
    )
    assert counted == [
        {"topic_id": old, "action": "before", "n": "30", "first": "0", "last": "29"},
        {"topic_id": new, "action": "after", "n": "80", "first": "0", "last": "79"},
    ]
    assert recorder.rows(recorder.recreated) == 110
    verified(recorder.folder)


PARTITIONS = 4


class Member:
    """One of several servers of a group, with a state of its own over the shared store."""

    def __init__(self, folder: Path, bootstrap: str, topic: str, name: str) -> None:
        own = folder / name
        own.mkdir()
        port = free_port()
        write_config(
            own,
            data_dir=str(own),
            store={"path": str(folder / "store")},
            keys={"path": str(folder / "keys")},
            kafka=kafka(bootstrap, topic),
            sources=[source(topic)],
            killswitch={"port": port},
            **QUICK,
        )
        self.folder = own
        self.server = Running(own, port)


@pytest.mark.timeout(300)
def test_a_member_that_wakes_after_another_took_over_publishes_nothing(
    tmp_path: Path, kafka: TestBroker
) -> None:
    topic = unique("rebalance")
    asyncio.run(KafkaTopics(kafka).create(topic, PARTITIONS))
    store = tmp_path / "store"
    first, second = (Member(tmp_path, kafka.bootstrap, topic, name) for name in ("first", "second"))
    with first.server, second.server, paced(kafka.bootstrap, topic) as stream:
        wait_until(lambda: len(owners(store)) == PARTITIONS and len(writers(store)) == 2, 60, "both own some")
        members = writers(store)
        first.server.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: len(writers(store)) == 1, 60, "the second has all")
        (first_id,) = members - writers(store)
        claimed = {partition: log.state.next_n for partition, log in logs(store).items()}
        first.server.process.send_signal(signal.SIGCONT)
        wait_until(lambda: writers(store) == members, 120, "the first has joined again")
        stream.stop()
        wait_until(lambda: sealed_rows(store) >= stream.produced, 60, "all sealed")
        assert second.server.stop() == 0, second.server.log()
        assert first.server.stop() == 0, first.server.log()
    for partition, log in logs(store).items():
        entries = list(log.entries_after(claimed[partition] - 1))
        claims = (e.n for e in entries if (e.kind, e.role, e.writer) == ("claim", "writer", first_id))
        until = next(claims, 1 << 60)
        published = {e.writer for e in entries if e.n < until and e.kind in ("seal", "idle")}
        assert published <= {owners_at(log, claimed[partition])}
    counted = query(
        second.folder,
        'select count(*) as n, count(distinct ("partition", "offset")) as once, count(distinct span_id) as '
        "spans from all_rows",
    )
    assert counted == [dict.fromkeys(("n", "once", "spans"), str(stream.produced))]
    verified(second.folder)


class Stream:
    """Events that keep coming until stopped."""

    PER_ROUND = 20

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.produced = 0
        self._bootstrap, self._topic = bootstrap, topic
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(0.2):
            events = [event() for _ in range(self.PER_ROUND)]
            asyncio.run(produce(self._bootstrap, self._topic, events, PARTITIONS))
            self.produced += self.PER_ROUND

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)


@contextlib.contextmanager
def paced(bootstrap: str, topic: str) -> Iterator[Stream]:
    """A stream for the length of a test."""
    stream = Stream(bootstrap, topic)
    try:
        yield stream
    finally:
        stream.stop()


def logs(store: Path) -> dict[int, PartitionLog]:
    """The logs of the input partitions."""
    opened = Store(store)
    keys = [key for key in opened.partitions() if not key[0].startswith("_")]
    return {partition: PartitionLog.open(opened, topic_id, partition) for topic_id, partition in keys}


def owners(store: Path) -> dict[int, str | None]:
    """Who has claimed each partition last."""
    return {partition: log.state.writer for partition, log in logs(store).items()}


def writers(store: Path) -> set[str | None]:
    """Who owns any partition."""
    return set(owners(store).values())


def owners_at(log: PartitionLog, n: int) -> str:
    """Who had claimed the partition before entry `n`."""
    claims = [e for e in log.entries_after(-1) if e.kind == "claim" and e.role == "writer"]
    return [e.writer for e in claims if e.n < n][-1]
