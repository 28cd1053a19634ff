"""Typed columns against the records they copy.

The chain protects `meta` and `payload` only; people filter on the typed columns. Event records are made anew
from the columns and compared as bytes (`rebuilt.py`); what differs, and rows of other kinds, are parsed and
compared field by field. What copies what is in `pipeline/audit/columns.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.audit.arrow import Array, Schema, pa, pc
from pipeline.audit.columns import DICTIONARY_COLUMNS, TypedColumn, segment_schema, typed_columns
from pipeline.audit.store import APPEND_PARTITIONS
from pipeline.audit.verify.rebuilt import event_records

RecordBatch: TypeAlias = Any
Mask: TypeAlias = NDArray[np.bool_]


@cache
def few_valued_columns(topic_id: str) -> tuple[str, ...]:
    """The string columns that are read as dictionaries, so that each distinct value is handled once."""
    names = {column.name for column in typed_columns(topic_id) if str(column.type) == "string"} | {"kind"}
    return tuple(name for name in DICTIONARY_COLUMNS if name in names)


@cache
def read_schema(topic_id: str) -> Schema:
    """What reading a segment with `few_valued_columns` gives: the schema, with those as dictionaries."""
    few = set(few_valued_columns(topic_id))
    fields = segment_schema(topic_id)
    return pa.schema(
        [f.with_type(pa.dictionary(pa.int32(), pa.string())) if f.name in few else f for f in fields]
    )


def differing_rows(batch: RecordBatch, topic_id: str) -> list[tuple[int, str]]:
    """(index in the batch, how) of each row whose typed columns say something else than its record.

    A row without a record, which was erased, is not judged here.
    """
    suspects = ~_nulls(batch["meta"])
    if topic_id not in APPEND_PARTITIONS:
        suspects &= ~_is_its_record(batch)
    indexes = np.flatnonzero(suspects)
    if not len(indexes):
        return []
    rows = batch.take(pa.array(indexes)).to_pylist(maps_as_pydicts=None)
    columns = typed_columns(topic_id)
    with_origin = topic_id not in APPEND_PARTITIONS
    told = ((int(i), _difference(row, columns, with_origin)) for i, row in zip(indexes, rows, strict=True))
    return [(i, how) for i, how in told if how]


def kept_columns(batch: RecordBatch, erased: Mask, topic_id: str) -> list[int]:
    """The indexes of erased rows that kept a typed column."""
    if not erased.any():
        return []
    kept = np.zeros(len(batch), np.bool_)
    for column in typed_columns(topic_id):
        values = batch[column.name]
        if values.null_count < len(values):
            kept |= ~_nulls(values)
    return np.flatnonzero(kept & erased).tolist()


def _nulls(column: Array) -> Mask:
    return column.is_null().to_numpy(zero_copy_only=False)


def _is_its_record(batch: RecordBatch) -> Mask:
    """Where the record of an event made from the columns is the stored one, byte for byte."""
    same = pc.equal(event_records(batch), batch["meta"]).fill_null(False).to_numpy(zero_copy_only=False)
    for column in typed_columns(""):
        values = batch[column.name]
        if "event" not in column.paths and values.null_count < len(values):
            same = same & _nulls(values)
    return same


def _difference(row: dict[str, Any], columns: Sequence[TypedColumn], with_origin: bool) -> str | None:
    """How the typed columns of a row differ from its record, None where they do not."""
    try:
        meta = json.loads(row["meta"])
    except (ValueError, RecursionError):
        return "its meta is not JSON"
    if not isinstance(meta, dict):
        return "its meta is not a JSON object"
    record = cast("dict[str, Any]", meta)
    kind = row["kind"]
    differing = [
        column.name
        for column in columns
        if not _same(row[column.name], _follow(record, cast("dict[str, str]", column.paths).get(kind)))
    ]
    differing += ["kind"] if record.get("kind") != kind or not _is_known(kind, columns) else []
    if with_origin:
        places = ("offset", "item")
        differing += [name for name in places if not _same(row[name], _follow(record, f"origin.{name}"))]
    return f"typed columns differ from the record: {', '.join(differing)}" if differing else None


def _is_known(kind: str, columns: Sequence[TypedColumn]) -> bool:
    """Whether rows of this kind stand in the partition."""
    return any(kind in column.paths for column in columns)


def _follow(record: dict[str, Any], path: str | None) -> Any:
    value: Any = record if path else None
    for name in path.split(".") if path else []:
        value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
    return value


def _same(stored: Any, told: Any) -> bool:
    """Equal in value and type: JSON's true is not the number 1. A map is stored as pairs in order."""
    if isinstance(told, dict):
        return isinstance(stored, list) and stored == list(cast("dict[str, Any]", told).items())
    return type(stored) is type(told) and stored == told
