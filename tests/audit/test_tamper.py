"""The tamper cases: one a known attack, named by its defect. Each turns its verdict and names its place."""

from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from support.attacks import ATTACKS, COLUMNS, LOG, SEGMENTS, Attack
from support.audit import TOPIC_ID, claim, event_row, sealed_store
from support.tamper import entry_paths, faults_by_sql, overwrite, rewrite_rows, segment_paths, set_value

from pipeline.audit.chain import first_prev
from pipeline.audit.store import Store
from pipeline.audit.verify import verify_store


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "-"))
def test_attack_is_named(attack: Attack, tmp_path: Path) -> None:
    root = tmp_path / "store"
    sealed_store(root)
    attack.do(root)
    report = verify_store(Store(root))
    told = [(fault.verdict, fault.place, fault.how) for fault in report.faults]
    assert {fault.verdict for fault in report.faults} == attack.verdicts, told
    assert {fault.offset for fault in report.faults if fault.offset is not None} == attack.rows, told
    assert all(fault.topic_id == TOPIC_ID for fault in report.faults)
    assert len(told) == len(set(told))
    if attack.by_sql:
        assert _found_by_sql(root)


@pytest.mark.parametrize("column", ["meta", "payload", "salt_m", "salt_p", "h", "agent_id", "outcome"])
def test_one_changed_row_is_one_fault(column: str, tmp_path: Path) -> None:
    sealed_store(tmp_path)
    odd = {"meta": "{}", "payload": "x", "salt_m": b"1" * 16, "salt_p": b"1" * 16, "h": b"1" * 32}
    rewrite_rows(segment_paths(tmp_path)[0], set_value(column, 6, odd.get(column, "changed")))
    [fault] = verify_store(Store(tmp_path)).faults
    assert (fault.offset, fault.item, fault.segment) == (6, 0, segment_paths(tmp_path)[0].name)


def test_every_typed_column_of_an_event(tmp_path: Path) -> None:
    """Each in a row of its own: every row is named, and by SQL too."""
    from pipeline.audit.columns import EVENT_COLUMNS

    sealed_store(tmp_path, segments=1, rows=len(EVENT_COLUMNS), commands=0)
    other: dict[str, Any] = {"bool": False, "string": "changed", "int64": 7, "int32": 7}

    def change(columns: dict[str, list[Any]]) -> None:
        for row, column in enumerate(EVENT_COLUMNS):
            odd = other.get(str(column.type), [("CHANGED", 1)] if "map" in str(column.type) else ["changed"])
            columns[column.name][row] = odd

    rewrite_rows(segment_paths(tmp_path)[0], change)
    faults = verify_store(Store(tmp_path)).faults
    assert {f.offset: f.how.rpartition(": ")[2] for f in faults} == {
        row: column.name for row, column in enumerate(EVENT_COLUMNS)
    }
    assert {row[4] for row in faults_by_sql(tmp_path)} == {*range(len(EVENT_COLUMNS))}


def test_text_that_looks_like_an_escape(tmp_path: Path) -> None:
    """A backslash and an n in the column, where the record has a line break."""
    claim(Store(tmp_path)).seal([event_row(0, tool_call_id="a\nb")], 1)
    assert verify_store(Store(tmp_path)).holds
    assert faults_by_sql(tmp_path) == []
    rewrite_rows(segment_paths(tmp_path)[0], set_value("tool_call_id", 0, "a\\nb"))
    [fault] = verify_store(Store(tmp_path)).faults
    assert (fault.verdict, fault.offset) == (COLUMNS, 0)
    assert [row[5:] for row in faults_by_sql(tmp_path)] == [
        (0, "columns match the records: a typed column differs")
    ]


def test_edited_trip(tmp_path: Path) -> None:
    sealed_store(tmp_path)
    [path] = segment_paths(tmp_path, "_control")
    rewrite_rows(path, set_value("agent_id", 1, None))
    [fault] = verify_store(Store(tmp_path)).faults
    assert (fault.verdict, fault.topic_id, fault.offset) == (COLUMNS, "_control", 1)
    assert _found_by_sql(tmp_path)


def test_whole_rechained_segment_shows_at_its_ends(tmp_path: Path) -> None:
    """An attacker who chains the edited rows anew, footer and all, cannot meet the log's head."""
    from support.audit import event_rows

    from pipeline.audit.segment import build_segment
    from pipeline.audit.store import SegmentName

    sealed_store(tmp_path)
    path = segment_paths(tmp_path)[0]
    name = SegmentName.parse(path.name)
    assert name is not None
    prev = first_prev(TOPIC_ID, 0)
    forged = build_segment(
        TOPIC_ID, 0, event_rows(0, 10, principal="innocent"), start=0, end=10, epoch=1, kind="seal", prev=prev
    )
    overwrite(path, forged.content)
    faults = verify_store(Store(tmp_path)).faults
    assert {fault.verdict for fault in faults} >= {SEGMENTS}
    assert _found_by_sql(tmp_path)


def test_log_without_its_partition(tmp_path: Path) -> None:
    sealed_store(tmp_path)
    for path in entry_paths(tmp_path):
        path.unlink()
    [fault] = verify_store(Store(tmp_path)).faults
    assert fault.verdict == LOG
    assert "no log" in fault.how
    assert _found_by_sql(tmp_path)


def test_faults_hold_no_text_of_rows(tmp_path: Path) -> None:
    sealed_store(tmp_path)
    rewrite_rows(segment_paths(tmp_path)[0], set_value("meta", 2, '{"principal":"Jane Example"'))
    rewrite_rows(segment_paths(tmp_path)[1], set_value("principal", 2, "Jane Example"))
    assert b"Jane" not in msgspec.json.encode(verify_store(Store(tmp_path)))


def _found_by_sql(root: Path) -> bool:
    try:
        return bool(faults_by_sql(root))
    except duckdb.Error:
        return True  # the script says that an unreadable file or record ends it with an error
