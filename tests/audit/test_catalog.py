"""The catalog: what each view shows, when it is built anew, and that it never goes back."""

import itertools
import shutil
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.audit import (
    START_MS,
    TOPIC_ID,
    claim,
    event_meta,
    event_row,
    event_rows,
    row_of,
    seal_batches,
    sealed_store,
)
from support.findings import finding_rows

from pipeline.audit.catalog import Catalog, build_catalog, newest_catalog
from pipeline.audit.catalog_runner import CatalogRunner
from pipeline.audit.compact import compact_store
from pipeline.audit.control import append_rows
from pipeline.audit.store import FINDINGS, Store, StoreConfig
from pipeline.audit.views.template import derived_views
from pipeline.audit.writer import new_writer_id
from pipeline.errors import StoreError

VIEWS = {
    "events",
    "traces",
    "sessions",
    "agents_by_minute",
    "findings",
    "incidents",
    "killswitch",
    "segments",
}
VIEWS |= {"checkpoints", "dead_letters", "erasures", "holds", "silences"}
HOUR_MS = 3_600_000


def ask(path: Path | None, query: str) -> list[tuple[Any, ...]]:
    assert path is not None
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).fetchall()


CLOCK = itertools.count(1, 10_000)


def build(root: Path) -> Path:
    """Build with a clock that is always past the shortest interval."""
    path = build_catalog(Store(root), now_ms=lambda: next(CLOCK))
    assert path is not None
    return path


def test_empty_store_has_every_view_without_rows(tmp_path: Path) -> None:
    path = build(tmp_path)
    for view in VIEWS:
        assert ask(path, f"SELECT count(*) FROM {view}") == [(0,)]


def test_same_columns_with_and_without_files(tmp_path: Path) -> None:
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.mkdir()
    store = sealed_store(full)
    append_rows(store, FINDINGS, finding_rows(), writer_id=new_writer_id(), now_ms=lambda: 1)
    described = [
        {
            view: ask(path, f"SELECT column_name, column_type FROM (DESCRIBE {view})")
            for view in VIEWS | {"all_rows"}
        }
        for path in (build(empty), build(full))
    ]
    assert described[0] == described[1]


def test_every_view_and_its_columns_have_what_they_say(tmp_path: Path) -> None:
    assert {view.name for view in derived_views(False)} == VIEWS
    commented = dict(ask(build(tmp_path), "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"))
    assert all(commented[view] for view in VIEWS)


def test_views_count_what_was_sealed(tmp_path: Path) -> None:
    store = sealed_store(tmp_path, segments=4, rows=20)
    append_rows(store, FINDINGS, finding_rows(), writer_id=new_writer_id(), now_ms=lambda: 1)
    path = build(tmp_path)
    assert ask(path, "SELECT count(*), count(DISTINCT trace_id), sum(input_tokens) FROM events") == [
        (78, 8, 78 * 120)
    ]
    assert ask(path, "SELECT count(*), sum(writes) FROM traces") == [(8, 78)]
    assert ask(path, "SELECT count(*) FROM dead_letters WHERE reason = 'not JSON'") == [(2,)]
    assert ask(path, "SELECT sum(events), sum(writes) FROM agents_by_minute") == [(78, 78)]
    assert ask(path, "SELECT count(*), sum(rows) FROM segments WHERE topic_id[1] <> '_'") == [(4, 80)]
    assert ask(path, "SELECT agent_id, mode, automatic, tool FROM killswitch LIMIT 1") == [
        ("invoice-agent", "off", False, None)
    ]
    assert ask(path, "SELECT detector, severity, incident_id, facts->>'writes' FROM findings") == [
        ("write_burst", "critical", "incident-1", "150")
    ]
    assert ask(path, "SELECT status, changed_by, reason, findings, detectors FROM incidents") == [
        ("acknowledged", "on-call", "looking", 1, ["write_burst"])
    ]


def test_payload_and_times_of_an_event(tmp_path: Path) -> None:
    claim(Store(tmp_path)).seal([event_row(0)], 1)
    [row] = ask(
        build(tmp_path),
        "SELECT start_time, end_time, duration_ms, input->>'invoice', attributes->>'attempt' FROM events",
    )
    assert (str(row[0]), str(row[1]), *row[2:]) == (
        "2026-01-01 00:00:00",
        "2026-01-01 00:00:00.250000",
        250.0,
        "0",
        "1",
    )


def repeat(offset: int, of: int, *, at_ms: int = START_MS, partition: int = 0, **changes: Any) -> Any:
    """A row at `offset` whose event is that of offset `of`, appended at `at_ms`."""
    from msgspec.structs import replace

    meta = event_meta(of, **changes)
    where = replace(meta.origin, offset=offset, partition=partition, broker_time_ms=at_ms)
    return row_of(replace(meta, origin=where), b"{}")


def counted(root: Path) -> list[tuple[int, int]]:
    return ask(build(root), 'SELECT "partition", "offset" FROM events ORDER BY ALL')


def test_repeat_is_counted_once_in_the_lowest_row(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = claim(store), claim(store, partition=1)
    second.seal([repeat(0, 5, partition=1), repeat(1, 5, partition=1)], 2)
    assert counted(tmp_path) == [(1, 0)]
    first.seal([repeat(7, 5, at_ms=START_MS + HOUR_MS)], 8)
    assert counted(tmp_path) == [(0, 7)], "a lower identity that arrives later takes the place"
    assert ask(build(tmp_path), "SELECT count(*) FROM all_rows") == [(3,)]


def test_not_repeats(tmp_path: Path) -> None:
    writer = claim(Store(tmp_path))
    writer.seal(
        [
            event_row(0),
            repeat(1, 0, at_ms=START_MS + 24 * HOUR_MS + 1),
            repeat(2, 0, span_id="f" * 16),
            repeat(3, 0, event_hmac="e" * 64),
        ],
        4,
    )
    writer.seal(
        [event_row(i, flags=["span_id_derived"], event_hmac="d" * 64, span_id="a" * 16) for i in (4, 5)], 6
    )
    assert counted(tmp_path) == [(0, i) for i in range(6)]


def test_repeats_are_found_again_without_the_working_file(tmp_path: Path) -> None:
    writer = claim(Store(tmp_path))
    writer.seal([event_row(0), repeat(1, 0)], 2)
    assert counted(tmp_path) == [(0, 0)]
    (tmp_path / "catalog" / "working.duckdb").write_bytes(b"damaged")
    writer.seal([repeat(2, 0)], 3)
    assert counted(tmp_path) == [(0, 0)]


def test_repeat_across_a_compaction(tmp_path: Path) -> None:
    store = Store(tmp_path)
    writer = claim(store)
    seal_batches(writer, [[event_row(i)] for i in range(6)])
    build(tmp_path)
    compact_store(store, StoreConfig(compact_fan_in_files=3), now_ms=lambda: START_MS)
    writer.seal([repeat(6, 2)], 7)
    assert counted(tmp_path) == [(0, i) for i in range(6)]


def test_built_anew_only_when_the_log_has_grown(tmp_path: Path) -> None:
    writer = claim(Store(tmp_path))
    first = build(tmp_path)
    assert build(tmp_path) == first
    writer.seal(event_rows(0, 3), 3)
    second = build(tmp_path)
    assert second != first
    assert ask(first, "SELECT count(*) FROM events") == [(0,)], "who has the old one open keeps it"
    assert ask(second, "SELECT count(*) FROM events") == [(3,)]


def test_at_most_once_a_second(tmp_path: Path) -> None:
    writer = claim(Store(tmp_path))
    now_ms = 1000
    catalog = Catalog(Store(tmp_path), now_ms=lambda: now_ms)
    first = catalog.refresh()
    writer.seal(event_rows(0, 3), 3)
    now_ms = 1999
    assert catalog.refresh() == first
    now_ms = 2000
    assert catalog.refresh() != first


def test_never_goes_back(tmp_path: Path) -> None:
    sealed_store(tmp_path / "store")
    older = tmp_path / "older"
    shutil.copytree(tmp_path / "store", older)
    claim(Store(tmp_path / "store"))
    path = build(tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "log")
    shutil.copytree(older / "log", tmp_path / "store" / "log")
    with pytest.raises(StoreError, match="run auditfuse verify"):
        build(tmp_path / "store")
    assert ask(path, "SELECT count(*) FROM events") == [(29,)]


def test_damaged_log_leaves_the_other_partitions_readable(tmp_path: Path) -> None:
    sealed_store(tmp_path, partitions=2)
    entry = tmp_path / "log" / TOPIC_ID / "0" / "000000000002.json"
    entry.chmod(0o640)
    entry.write_bytes(b"[]")
    told: list[str] = []
    with newest_catalog(Store(tmp_path), warn=told.append) as path:
        assert ask(path, 'SELECT "partition", count(*) FROM all_rows GROUP BY ALL ORDER BY ALL') == [
            (0, 10),
            (1, 30),
        ]
    assert "000000000002" in told[0]


def test_superseded_files_live_on_and_then_go(tmp_path: Path) -> None:
    import os

    writer = claim(Store(tmp_path))
    first = build(tmp_path)
    writer.seal(event_rows(0, 1), 1)
    build(tmp_path)
    assert first.exists()
    os.utime(first, (1, 1))
    writer.seal(event_rows(1, 1), 2)
    build(tmp_path)
    assert not first.exists()


def test_leftovers_of_a_killed_builder_are_removed(tmp_path: Path) -> None:
    claim(Store(tmp_path))
    (tmp_path / "catalog").mkdir()
    leftover = tmp_path / "catalog" / ".building-0123456789abcdef"
    leftover.write_bytes(b"half")
    build(tmp_path)
    assert not leftover.exists()


def test_copy_stands_on_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sealed_store(Path("store"))
    target = tmp_path / "copy.duckdb"
    Catalog(Store(Path("store"))).write_copy(target)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert ask(target, "SELECT count(*) FROM events") == [(29,)]
    with pytest.raises(StoreError, match="exists"):
        Catalog(Store(tmp_path / "store")).write_copy(target)


def test_runner_builds_a_last_time_when_stopped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    writer = claim(store)
    runner = CatalogRunner(Store(tmp_path))
    runner.start()
    writer.seal(event_rows(0, 3), 3)
    runner.stop()
    assert not Catalog(Store(tmp_path)).is_stale()


def test_rows_are_counted_exactly_while_compaction_replaces_files(tmp_path: Path) -> None:
    """Readers that query in a loop, one of them over an old catalog, see each sealed row once."""
    store = sealed_store(tmp_path, segments=12, rows=5, commands=0)
    old = build(tmp_path)
    done = threading.Event()
    seen: set[tuple[int, int]] = set()

    def read() -> None:
        while not done.is_set():
            with newest_catalog(Store(tmp_path)) as path:
                for one in (path, old):
                    seen.add(ask(one, 'SELECT count(*), count(DISTINCT ("offset", item)) FROM all_rows')[0])

    reader = threading.Thread(target=read)
    reader.start()
    for fan_in in (3, 4, 12):
        compact_store(store, StoreConfig(compact_fan_in_files=fan_in), now_ms=lambda: START_MS)
        build_catalog(Store(tmp_path))
    done.set()
    reader.join()
    assert seen == {(60, 60)}
