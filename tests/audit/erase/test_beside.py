"""An erasure beside everything else that touches the store: compaction, a writer, readers, other erasures."""

import threading
from pathlib import Path

import duckdb
import pytest
from support.audit import START_MS, TOPIC_ID, claim, event_rows, sealed_store
from support.erase import eraser_of, request, settings_in, store_of, stored_rows

from pipeline.audit.catalog import newest_catalog
from pipeline.audit.compact import Compactor, compact_store
from pipeline.audit.erase.run import Eraser
from pipeline.audit.log import PartitionLog
from pipeline.audit.query import connect_read_only
from pipeline.audit.store import Store, StoreConfig
from pipeline.audit.verify import verify_store
from pipeline.audit.writer import new_writer_id
from pipeline.clock import system_now_ms
from pipeline.config import Config

TRACE = f"trace={2:032x}"
EAGER = StoreConfig(compact_fan_in_files=2, compact_interval_s=0.001, superseded_grace_s=0)


def beside(config: Config) -> Eraser:
    """What erases while others write: files in staging may be theirs."""
    return eraser_of(config, now_ms=system_now_ms, staging_age_s=30)


def test_a_compactor_that_never_rests(tmp_path: Path) -> None:
    """Each takes maintenance from the other; both come to an end, and nothing is lost or comes back."""
    config = settings_in(tmp_path)
    store = store_of(config)
    writer = claim(store)
    compactor = Compactor(store, EAGER, writer_id=new_writer_id(), now_ms=system_now_ms)
    compactor.start()
    eraser = beside(config)
    try:
        for number in range(12):
            writer.seal(event_rows(number * 10, 10), number * 10 + 10)
            if number % 2:
                eraser.execute(request(f"trace={number:032x}"))
    finally:
        compactor.stop()
    gone = {key[2] for key, row in stored_rows(store).items() if key[0] == TOPIC_ID and row["meta"] is None}
    assert gone == {offset for n in range(1, 12, 2) for offset in range(n * 10 - 10, n * 10)}
    compact_store(store, EAGER, now_ms=system_now_ms)
    assert set(store.segment_names(TOPIC_ID, 0)) == set(PartitionLog.open(store, TOPIC_ID, 0).state.live)
    report = verify_store(store)
    assert report.holds, report.faults


def test_a_compaction_under_way_cannot_bring_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compaction has merged the old rows already when the erasure publishes: it is fenced."""
    config = settings_in(tmp_path)
    store = sealed_store(config.store.path)
    real = Store.create_segment
    ran: list[int] = []

    def create_segment(self: Store, topic_id: str, partition: int, name: str, content: bytes) -> None:
        real(self, topic_id, partition, name, content)
        if "-compact-" in name and not ran:
            ran.append(1)
            beside(config).execute(request(TRACE))

    monkeypatch.setattr(Store, "create_segment", create_segment)
    compactor = Compactor(store, EAGER, writer_id=new_writer_id(), now_ms=system_now_ms)
    compactor.run_once()
    assert ran
    for _ in range(3):
        compactor.run_once()
    rows = stored_rows(store)
    assert all(rows[TOPIC_ID, 0, offset, 0]["meta"] is None for offset in range(10, 19))
    assert set(store.segment_names(TOPIC_ID, 0)) == set(PartitionLog.open(store, TOPIC_ID, 0).state.live)
    assert verify_store(store).holds


def test_two_erasures_at_once(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    store = sealed_store(config.store.path, segments=6)
    faults: list[Exception] = []

    def erase(trace: int) -> None:
        try:
            beside(config).execute(request(f"trace={trace:032x}"))
        except Exception as error:  # noqa: BLE001 (told by the assertion)
            faults.append(error)

    threads = [threading.Thread(target=erase, args=(trace,)) for trace in (1, 2, 3, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    gone = {key[2] for key, row in stored_rows(store).items() if key[0] == TOPIC_ID and row["meta"] is None}
    assert gone == set(range(10)) | set(range(10, 19)) | set(range(20, 30)) | set(range(40, 50))
    report = verify_store(store)
    assert report.holds, report.faults


def test_readers_see_it_whole_or_not_at_all(tmp_path: Path) -> None:
    """Queries over the newest catalog count every row or every row but the erased ones, and a catalog that
    was opened before fails rather than count wrongly."""
    config = settings_in(tmp_path)
    store = sealed_store(config.store.path, segments=6)
    with newest_catalog(store) as path, connect_read_only(path) as old:
        count = old.execute("SELECT count(*) FROM events").fetchone()
        assert count == (57,)
        eraser_of(config, now_ms=lambda: START_MS).execute(request(TRACE))
        with newest_catalog(store) as newer, connect_read_only(newer) as connection:
            assert connection.execute("SELECT count(*) FROM events").fetchone() == (48,)
        try:
            seen = old.execute("SELECT count(*) FROM events").fetchone()
        except duckdb.Error:
            seen = None
        assert seen in (None, (57,))
    names = {path.name for path in (store.cache_dir / "catalog").glob("catalog-*.duckdb")}
    assert "catalog-000000000001.duckdb" not in names, "the one from before names files that are gone"
