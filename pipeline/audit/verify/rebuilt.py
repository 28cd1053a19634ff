"""Event records written anew from typed columns, a column at a time: equal bytes mean equal columns.

`meta` is the canonical JSON of `EventMeta`, and every field of it but the schema version has a typed column.
So the columns match the record exactly where the JSON made from them is the record. This is much faster than
parsing; a record that differs is parsed and compared field by field (`typed.py`).

Equal bytes cannot hide unequal columns: strings are escaped as JSON wants before they go in, so what is
written from a column is read back as that column's value and no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import msgspec

from pipeline.audit.arrow import Array, pa, pc
from pipeline.audit.columns import EVENT_COLUMNS
from schemas.record import EventMeta, Origin

RecordBatch: TypeAlias = Any
_NULL = "null"
_SCHEMA_VERSION = "1"
"""Of events; records of another version are compared field by field."""
_ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r"))
_encoded = msgspec.json.Encoder().encode


class _Column(NamedTuple):
    """A place in the record that is filled from a column."""

    name: str


def event_records(batch: RecordBatch) -> Array:
    """The record of every row as its typed columns tell it, as strings. Rows of another kind than `event`
    give something that is not their record."""
    pieces: list[Array | str] = []
    for part in _layout():
        pieces += _pieces(batch[part.name]) if isinstance(part, _Column) else [part]
    arguments: list[Any] = []
    for piece in pieces:
        if isinstance(piece, str) and arguments and isinstance(arguments[-1], str):
            arguments[-1] += piece
        else:
            arguments.append(piece)
    joined = pc.binary_join_element_wise(*arguments, "")
    return joined if isinstance(joined, pa.Array) else pa.repeat(joined, len(batch))


@cache
def _layout() -> tuple[_Column | str, ...]:
    """The record of an event: literal text, and the columns that go between."""
    places = {
        column.paths["event"]: _Column(column.name) for column in EVENT_COLUMNS if "event" in column.paths
    }
    places |= {"kind": _Column("kind"), "origin.offset": _Column("offset"), "origin.item": _Column("item")}
    literals = {"schema_version": _SCHEMA_VERSION}
    return tuple(_object(EventMeta, "", places, literals))


def _object(
    struct: type[msgspec.Struct], prefix: str, places: dict[str, _Column], literals: dict[str, str]
) -> Iterator[_Column | str]:
    for i, name in enumerate(struct.__struct_fields__):
        path = prefix + name
        if path == "origin.retry_of":
            continue  # the rare record that has it is compared field by field
        yield f'{"," if i else "{"}"{name}":'
        if name == "origin":
            yield from _object(Origin, "origin.", places, literals)
        else:
            yield places[path] if path in places else literals[path]
    yield "}"


def _pieces(column: Array) -> list[Array | str]:
    """The JSON of a column's values, as texts that stand one behind the other."""
    if column.null_count == len(column):
        return [_NULL]
    kind = column.type
    if pa.types.is_dictionary(kind):
        return [_from_dictionary(column)]
    if pa.types.is_string(kind):
        return _strings(column)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return [_scalars(column)]
    if column.offset:
        column = column.take(pa.array(range(len(column))))
    if pa.types.is_map(kind):
        return _joined("{", column, _map_items(column), "}")
    if pa.types.is_list(kind):
        return _joined("[", column, _one(_pieces(column.flatten()), len(column.flatten())), "]")
    raise NotImplementedError(f"no JSON is made of {kind}")


def _from_dictionary(column: Array) -> Array | str:
    """Few distinct values: each is encoded once."""
    values = [_encoded(value).decode() for value in column.dictionary.to_pylist()]
    if len(values) == 1 and not column.null_count:
        return values[0]
    indices = column.indices.fill_null(len(values)) if column.null_count else column.indices
    return pa.array([*values, _NULL], pa.string()).take(indices)


def _strings(column: Array) -> list[Array | str]:
    """Quotes stand in the text around the column, unless there are nulls among the values."""
    buffer = column.buffers()[2]
    content = b"" if buffer is None else buffer.to_pybytes()
    for raw, escaped in _ESCAPES:
        if raw.encode() in content:
            column = pc.replace_substring(column, raw, escaped)
    if not column.null_count:
        return ['"', column, '"']
    return [pc.binary_join_element_wise('"', column, '"', "").fill_null(_NULL)]


def _scalars(column: Array) -> Array | str:
    """Integers and truth values; one text where all are equal."""
    bounds = pc.min_max(column)
    if not column.null_count and bounds["min"] == bounds["max"]:
        return _encoded(bounds["min"].as_py()).decode()
    texts = column.cast(pa.string())
    return texts.fill_null(_NULL) if column.null_count else texts


def _map_items(column: Array) -> Array:
    keys, items = _strings(column.keys), column.items
    return pc.binary_join_element_wise(*keys, ":", _one([_scalars(items)], len(items)), "")


def _joined(opening: str, column: Array, texts: Array, closing: str) -> list[Array | str]:
    """Lists and maps: the texts of their elements, with commas between."""
    if not len(texts) and not column.null_count:
        return [opening + closing]
    joined = pc.binary_join(pa.ListArray.from_arrays(column.offsets, texts), ",")
    if not column.null_count:
        return [opening, joined, closing]
    joined = pc.binary_join_element_wise(opening, joined, closing, "")
    return [pc.if_else(column.is_null(), _NULL, joined)]


def _one(pieces: list[Array | str], count: int) -> Array:
    """Pieces as one array of `count` texts."""
    joined = pc.binary_join_element_wise(*pieces, "")
    return joined if isinstance(joined, pa.Array) else pa.repeat(joined, count)
