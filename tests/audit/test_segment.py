"""A segment's file: its columns, footer, name, and what damage to it looks like."""

import io
from hashlib import sha256
from pathlib import Path

import duckdb
import msgspec
import pytest
from support.audit import START_MS, TOPIC_ID, command_row, dead_letter_row, event_row, event_rows, row_of

from pipeline.audit import chain, merkle
from pipeline.audit.columns import EVENT_COLUMNS, segment_schema, typed_columns
from pipeline.audit.control import AppendRow
from pipeline.audit.segment import Built, build_segment, open_parquet, read_footer
from pipeline.audit.signals import signals_from_rows
from pipeline.audit.store import CONTROL, FINDINGS, SegmentName
from schemas.finding import Finding, FindingRow, IncidentRow
from schemas.record import Row
from schemas.signal import SIGNAL_SCHEMA

PREV = chain.first_prev(TOPIC_ID, 0)


def build(rows: list[Row], topic_id: str = TOPIC_ID, start: int = 0, end: int | None = None) -> Built:
    end = rows[-1].offset + 1 if end is None else end
    return build_segment(topic_id, 0, rows, start=start, end=end, epoch=3, kind="seal", prev=PREV)


def test_name_footer_and_reference_agree_with_the_bytes() -> None:
    rows = event_rows(5, 4)
    built = build(rows, end=12)
    footer = read_footer(open_parquet(io.BytesIO(built.content)), "here")
    ref = built.ref
    assert SegmentName.parse(ref.name) == SegmentName(0, 12, 3, "seal", ref.sha256[:16])
    assert (footer.topic_id, footer.partition, footer.start, footer.end) == (TOPIC_ID, 0, 0, 12)
    assert (footer.epoch, footer.kind, footer.rows, footer.links) == (3, "seal", 4, [])
    assert (footer.prev, footer.head, footer.merkle_root) == (ref.prev, ref.head, ref.merkle_root)
    assert (ref.rows, ref.events, ref.bytes) == (4, 4, len(built.content))
    assert (ref.min_event_ms, ref.max_event_ms) == (START_MS + 255, START_MS + 258)
    assert ref.max_broker_ms == START_MS + 8


def test_stored_bytes_give_the_stored_hashes() -> None:
    rows = [event_row(0), event_row(1, 0), event_row(1, 1), dead_letter_row(2)]
    built = build(rows)
    table = open_parquet(io.BytesIO(built.content)).read().to_pylist()
    prev, leaves = PREV, []
    for stored, row in zip(table, rows, strict=True):
        assert (stored["meta"].encode(), stored["payload"].encode()) == (row.meta, row.payload)
        assert stored["cp"] is stored["c"] is None
        cp = chain.payload_commitment(stored["salt_p"], stored["payload"].encode())
        c = chain.row_commitment(stored["salt_m"], stored["meta"].encode(), cp)
        leaves.append(chain.leaf(stored["offset"], stored["item"], c))
        prev = sha256(prev + leaves[-1]).digest()
        assert stored["h"] == prev
    assert built.ref.head == prev.hex()
    assert built.ref.merkle_root == merkle.root(leaves).hex()


def test_typed_columns_are_copies_of_meta() -> None:
    rows = [
        event_row(0, http_status=None, scopes=[]),
        dead_letter_row(1),
        event_row(2, end_user="<PERSON:k1.00>"),
    ]
    for stored in open_parquet(io.BytesIO(build(rows).content)).read().to_pylist():
        meta = msgspec.json.decode(stored["meta"])
        for column in EVENT_COLUMNS:
            path = column.paths.get(stored["kind"])
            expected = meta if path else None
            for name in path.split(".") if path else ():
                expected = expected[name]
            found = stored[column.name]
            assert (dict(found) if isinstance(expected, dict) else found) == expected, column.name


def test_append_partitions_have_columns_of_their_own() -> None:
    finding = Finding(
        detector="write_burst", kind="floor", environment="production", agent_id="a", key={},
        window_start_ms=0, window_end_ms=60_000, time_base="append", config_hash="00",
        severity="critical", summary="s", facts={}, may_trip=True, runbook="write_burst",
    )  # fmt: skip
    found = FindingRow(
        id=finding.finding_id, finding=finding, incident_id="inc-1", late=False, found_at_ms=7, evidence={}
    )
    incident = IncidentRow(
        id="i1", incident_id="inc-1", incident_key="k", environment="production", agent_id="a",
        severity="critical", status="open", at_ms=9, by="auditfuse", reason="",
    )  # fmt: skip
    append = [AppendRow.of(found), AppendRow.of(incident), command_row("t1"), command_row("t2", agent=None)]
    rows = [
        Row(offset=i, item=0, kind=one.kind, meta=one.meta, payload=b"", fields=one.fields)
        for i, one in enumerate(append)
    ]
    stored = open_parquet(io.BytesIO(build(rows, FINDINGS).content)).read().to_pylist()
    names = ("id", "at_ms", "finding_id", "incident_id", "detector", "agent_id", "severity", "status", "by")
    assert [tuple(one[name] for name in names) for one in stored] == [
        (found.id, 7, found.id, "inc-1", "write_burst", "a", "critical", None, None),
        ("i1", 9, None, "inc-1", None, "a", "critical", "open", "auditfuse"),
        ("t1", START_MS, None, None, None, "invoice-agent", None, None, "on-call@example"),
        ("t2", START_MS, None, None, None, None, None, None, "on-call@example"),
    ]
    assert [one["command"] for one in stored] == [None, None, "trip", "trip"]


def test_duckdb_reads_the_same_rows_and_footer(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    path.write_bytes(build(event_rows(0, 50)).content)
    counts = duckdb.sql(
        f"select count(*), count(distinct trace_id), max(redactions['EMAIL_ADDRESS']) from '{path}'"
    )
    assert counts.fetchall() == [(50, 5, 1)]
    footer = duckdb.sql(f"select decode(key), decode(value) from parquet_kv_metadata('{path}')").fetchall()
    assert ("auditfuse.rows", "50") in footer
    columns = duckdb.sql(
        f"select path_in_schema, bloom_filter_offset is not null from parquet_metadata('{path}')"
    ).fetchall()
    assert {name for name, bloom in columns if bloom} == {"session_id", "span_id", "trace_id"}


def test_a_flipped_bit_in_a_page_is_an_error() -> None:
    content = bytearray(build(event_rows(0, 200)).content)
    content[len(content) // 3] ^= 1
    with pytest.raises(OSError, match=r"."):
        open_parquet(io.BytesIO(bytes(content))).read()


@pytest.mark.parametrize(
    ("rows", "end"),
    [
        ([], 1),
        ([event_row(1), event_row(0)], 2),
        ([event_row(0), event_row(0)], 2),
        ([event_row(2)], 2),
    ],
    ids=["none", "out of order", "twice", "outside"],
)
def test_wrong_rows_are_refused(rows: list[Row], end: int) -> None:
    with pytest.raises(ValueError, match=r"row"):
        build(rows, end=end)


def test_signals_hold_all_columns_and_no_payload() -> None:
    rows = [event_row(0), dead_letter_row(1), event_row(2, 0), event_row(2, 1)]
    frame = signals_from_rows(rows)
    assert dict(frame.schema) == SIGNAL_SCHEMA
    assert frame.select("offset", "item").rows() == [(0, 0), (2, 0), (2, 1)]
    assert not {"meta", "payload", "status_message"} & set(frame.columns)
    assert signals_from_rows([]).schema == frame.schema


def test_every_signal_column_is_a_typed_column() -> None:
    typed = {column.name for column in typed_columns(TOPIC_ID)} | {"offset", "item"}
    assert typed >= set(SIGNAL_SCHEMA)
    assert segment_schema(CONTROL) != segment_schema(TOPIC_ID)


def test_text_of_any_kind_survives() -> None:
    meta = event_row(0).fields
    nasty = 'a"b\\x00\u2028\U0001f600' + chr(1)
    row = row_of(msgspec.structs.replace(meta, target=nasty), msgspec.json.encode({"x": nasty}))
    stored = open_parquet(io.BytesIO(build([row]).content)).read().to_pylist()[0]
    assert (stored["target"], stored["meta"].encode(), stored["payload"].encode()) == (
        nasty,
        row.meta,
        row.payload,
    )
