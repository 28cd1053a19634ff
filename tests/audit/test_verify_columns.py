"""Typed columns against records: honest rows match whatever their text, and any other value does not."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.audit import TOPIC_ID, command_row, dead_letter_row, event_row
from support.findings import finding_rows

from pipeline.audit.chain import first_prev
from pipeline.audit.columns import APPEND_COLUMNS, EVENT_COLUMNS
from pipeline.audit.control import AppendRow
from pipeline.audit.segment import build_segment
from pipeline.audit.verify.rebuilt import event_records
from pipeline.audit.verify.typed import differing_rows, few_valued_columns
from schemas.record import Row

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
maybe = st.none() | text
number = st.none() | st.integers(-(2**63), 2**63 - 1)
changes = st.fixed_dictionaries(
    {
        "trace_id": maybe,
        "span_id": text,
        "session_id": maybe,
        "agent_id": text,
        "principal": maybe,
        "target": maybe,
        "status_message": maybe,
        "scopes": st.lists(text, max_size=3),
        "flags": st.lists(st.sampled_from(["late", "bound_unknown"]), max_size=2),
        "redactions": st.dictionaries(text, st.integers(0, 9), max_size=3),
        "input_tokens": number,
        "http_status": st.none() | st.integers(-(2**31), 2**31 - 1),
        "duration_ns": st.integers(0, 2**63 - 1),
    }
)


def batch_of(rows: list[Row], topic_id: str = TOPIC_ID, slice_from: int = 0) -> Any:
    """The rows of a segment as verification reads them."""
    prev = first_prev(topic_id, 0)
    built = build_segment(topic_id, 0, rows, start=0, end=len(rows), epoch=1, kind="seal", prev=prev)
    source = pa.BufferReader(built.content)
    file = pq.ParquetFile(source, read_dictionary=few_valued_columns(topic_id))
    return next(file.iter_batches(batch_size=1 << 20)).slice(slice_from)


@given(st.lists(changes, min_size=1, max_size=6), st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_honest_rows_match_whatever_their_text(fields: list[dict[str, Any]], slice_from: int) -> None:
    rows = [event_row(i, **changed) for i, changed in enumerate(fields)]
    assert differing_rows(batch_of(rows, slice_from=slice_from), TOPIC_ID) == []


def test_usual_records_need_no_parsing() -> None:
    """The fast way alone says of rows as they are that they match, quotes and line breaks included."""
    rows = [event_row(i, target='a "quoted"\n\tline \\ é 😀', scopes=[]) for i in range(20)]
    batch = batch_of([*rows, event_row(20, http_status=None, trace_id=None, session_id=None)])
    assert event_records(batch).equals(batch["meta"])


def test_dead_letters_among_events() -> None:
    assert differing_rows(batch_of([event_row(0), dead_letter_row(1), event_row(2)]), TOPIC_ID) == []


@pytest.mark.parametrize("column", [column.name for column in EVENT_COLUMNS])
def test_any_other_value_of_an_event_column_is_found(column: str) -> None:
    batch = batch_of([event_row(0), event_row(1, model=None), dead_letter_row(2)])
    for row in range(3):
        [(index, how)] = differing_rows(_with_another(batch, column, row), TOPIC_ID)
        assert (index, how) == (row, f"typed columns differ from the record: {column}")


@pytest.mark.parametrize("column", [column.name for column in APPEND_COLUMNS])
def test_any_other_value_of_an_append_column_is_found(column: str) -> None:
    rows = [_row(i, one) for i, one in enumerate([command_row("trip-1"), *finding_rows()])]
    batch = batch_of(rows, "_control")
    for row in range(len(rows)):
        [(index, how)] = differing_rows(_with_another(batch, column, row), "_control")
        assert (index, how) == (row, f"typed columns differ from the record: {column}")


@pytest.mark.parametrize("column", ["offset", "item"])
def test_another_place_than_the_record_says(column: str) -> None:
    batch = batch_of([event_row(0), event_row(1)])
    assert [index for index, _ in differing_rows(_with_another(batch, column, 1), TOPIC_ID)] == [1]


def test_true_is_not_the_number_one() -> None:
    batch = batch_of([event_row(0)])
    meta = batch["meta"][0].as_py().replace('"input_tokens":120', '"input_tokens":true')
    tampered = _put(_put(batch, "meta", 0, meta), "input_tokens", 0, 1)
    assert differing_rows(tampered, TOPIC_ID) == [(0, "typed columns differ from the record: input_tokens")]


@pytest.mark.parametrize("column", ["tool_call_id", "target"])
def test_text_that_looks_like_an_escape(column: str) -> None:
    """A backslash and an n, unescaped, would be written as a line break is."""
    batch = batch_of([event_row(0, **{column: "a\nb"})])
    assert differing_rows(batch, TOPIC_ID) == []
    assert differing_rows(_put(batch, column, 0, "a\\nb"), TOPIC_ID)


def test_text_that_tries_to_be_two_columns() -> None:
    """A value that carries the quotes and the name of the next field writes the same text, if unescaped."""
    batch = batch_of([event_row(0, status_message="a", error_type="b")])
    tampered = _put(batch, "status_message", 0, 'a","error_type":"b')
    assert differing_rows(tampered, TOPIC_ID)


def _row(offset: int, one: AppendRow) -> Row:
    return Row(offset=offset, item=0, kind=one.kind, meta=one.meta, payload=one.payload, fields=one.fields)


def _with_another(batch: Any, column: str, row: int) -> Any:
    kind = str(batch.schema.field(column).type)
    old = batch[column][row].as_py()
    if "map" in kind:
        return _put(batch, column, row, [("CHANGED", 1)])
    if "list" in kind:
        return _put(batch, column, row, ["changed"])
    if kind == "bool":
        return _put(batch, column, row, not old)
    return _put(batch, column, row, (old or 0) + 1 if "int64" in kind or kind == "int32" else f"{old}x")


def _put(batch: Any, column: str, row: int, value: Any) -> Any:
    field = batch.schema.field(column)
    plain = pa.string() if pa.types.is_dictionary(field.type) else field.type
    values = batch[column].cast(plain).to_pylist() if plain != field.type else batch[column].to_pylist()
    values[row] = value
    array = pa.array(values, plain).cast(field.type)
    return batch.set_column(batch.schema.get_field_index(column), field, array)
