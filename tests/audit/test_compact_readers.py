"""Whoever queries while segments are written, compacted and deleted sees each row once, at every moment."""

import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec
import pytest
from support.audit import START_MS, TOPIC_ID, claim, event_row, event_rows, origin, seal_batches
from support.faults import without_disk_sync

from pipeline.audit.catalog import Catalog
from pipeline.audit.compact import CompactReport, PartitionCompactor, compact_store
from pipeline.audit.log import PartitionLog
from pipeline.audit.query import QueryError, open_catalog
from pipeline.audit.store import Store, StoreConfig
from pipeline.audit.verify import VerifyReport, verify_store
from pipeline.audit.writer import new_writer_id
from schemas.record import Row

__all__ = ["without_disk_sync"]

SEALS = 60
ROWS = 5
MINUTES_A_SEAL = 30
GRACE_CATALOGS = 3
COUNTS = (
    'SELECT count(*), count(DISTINCT (topic_id, "partition", "offset", item)), max("offset") + 1 FROM events'
)


class Catalogs:
    """Builds catalogs one after the other. Time is their number: a file that was replaced is deleted when
    three more were built, and none is built while someone still holds the one before the newest."""

    def __init__(self, store: Store) -> None:
        self._catalog = Catalog(store)
        self._held = Counter[int]()
        self._changed = threading.Condition()
        self.number = 0

    def now_ms(self) -> int:
        return START_MS + self.number * 1000

    def build(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: all(number >= self.number for number in self._held), 60)
        path = self._catalog.refresh(at_once=True)
        assert path
        with self._changed:
            pointer = self._catalog.pointer()
            assert pointer
            # Where nothing was appended the newest stands, but time goes on.
            self.number += 1
            self.path = path
            self._changed.notify_all()

    @contextmanager
    def newest(self) -> Generator[Path]:
        """The newest catalog, held on to until one more was built or the builder has ended."""
        with self._changed:
            number, path = self.number, self.path
            self._held[number] += 1
        try:
            yield path
        finally:
            with self._changed:
                self._held[number] -= 1
                self._held += Counter()
                self._changed.notify_all()

    def wait_for_next(self, ended: threading.Event) -> None:
        with self._changed:
            before = self.number
            self._changed.wait_for(lambda: self.number > before or ended.is_set(), 0.2)


class Seen(NamedTuple):
    """What one query of a reader gave."""

    rows: int
    distinct: int
    end: int


def rows_of(seal: int) -> list[Row]:
    """Five rows, half an hour after the five before them."""
    at_ms = START_MS + seal * MINUTES_A_SEAL * 60_000
    offsets = range(seal * ROWS, (seal + 1) * ROWS)
    return [
        event_row(offset, origin=msgspec.structs.replace(origin(offset), broker_time_ms=at_ms))
        for offset in offsets
    ]


def read(catalogs: Catalogs, ended: threading.Event) -> list[list[Seen]]:
    """Query until the end; each connection is held while the next catalog is built."""
    connections: list[list[Seen]] = []
    while not ended.is_set():
        with catalogs.newest() as path, duckdb.connect(str(path), read_only=True) as connection:
            seen: list[Seen] = []
            for _ in range(2):
                seen += [Seen(*counts) for counts in connection.execute(COUNTS).fetchall()]
                catalogs.wait_for_next(ended)
            connections.append(seen)
    return connections


def test_every_row_counts_once_while_segments_are_written_compacted_and_deleted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    writer = claim(store)
    writer.seal(rows_of(0), ROWS)
    catalogs = Catalogs(store)
    catalogs.build()
    config = StoreConfig.model_validate(
        {"path": tmp_path, "compact_fan_in_files": 3, "superseded_grace_s": GRACE_CATALOGS}
    )
    compactor = PartitionCompactor(
        store, TOPIC_ID, 0, config, writer_id=new_writer_id(), now_ms=catalogs.now_ms
    )
    ended, failed = threading.Event(), list[Exception]()
    results: list[list[list[Seen]]] = []
    verified: list[VerifyReport] = []
    total = CompactReport()

    def guarded(run: Callable[[], None]) -> None:
        try:
            run()
        except Exception as error:
            failed.append(error)
            raise
        finally:
            if failed:
                ended.set()

    def compact() -> None:
        nonlocal total
        while not ended.is_set():
            total = total.plus(compactor.run_once())

    def build() -> None:
        while not ended.is_set():
            catalogs.build()

    def collect() -> None:
        results.append(read(catalogs, ended))

    def verify() -> None:
        while not ended.is_set():
            verified.append(verify_store(store, workers=1))

    jobs = [compact, build, verify, collect, collect, collect]
    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for seal in range(1, SEALS):
        writer.seal(rows_of(seal), (seal + 1) * ROWS)
    at_end = catalogs.number
    while catalogs.number < at_end + GRACE_CATALOGS + 2 and not ended.wait(0.05):
        pass
    ended.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert total.made > 10
    assert total.deleted > 40
    for connections in results:
        assert len(connections) > 3
        for seen in connections:
            assert {(one.rows, one.distinct, one.end) for one in seen} == {(seen[0].end,) * 3}
        ends = [seen[0].end for seen in connections]
        assert ends == sorted(ends)
    assert max(connections[-1][0].end for connections in results) == SEALS * ROWS
    assert len(verified) > 2
    assert [fault for report in verified for fault in report.faults] == []
    assert verify_store(store).holds


@pytest.mark.parametrize("query", ["SELECT count(*) FROM events", "SELECT max(target) FROM events"])
def test_a_connection_held_beyond_the_grace_gets_an_error_and_no_wrong_number(
    tmp_path: Path, query: str
) -> None:
    store = Store(tmp_path)
    seal_batches(claim(store), [event_rows(i * 3, 3) for i in range(4)])
    config = StoreConfig.model_validate(
        {"path": tmp_path, "compact_fan_in_files": 4, "superseded_grace_s": 0}
    )
    with open_catalog(store) as held:
        (first,) = [found.fetchall() for found in held.run("SELECT count(*) FROM events")]
        assert first == [(12,)]
        done = compact_store(store, config, now_ms=lambda: START_MS)
        assert (done.made, done.deleted) == (1, 4)
        with pytest.raises(QueryError, match="open the newest catalog"):
            [found.fetchall() for found in held.run(query)]
    assert len(PartitionLog.open(store, TOPIC_ID, 0).state.live) == 1
    with open_catalog(store) as fresh:
        assert [found.fetchall() for found in fresh.run("SELECT count(*) FROM events")] == [[(12,)]]
