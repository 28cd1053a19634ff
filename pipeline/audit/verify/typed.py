"""Typed columns against the records they copy, by DuckDB: one JSON parse and one comparison a row.

The chain protects `meta` and `payload` only; people filter on the typed columns. Expressions are
made from `pipeline/audit/columns.py`, the one table of what copies what.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pipeline.audit.columns import TypedColumn, typed_columns
from pipeline.audit.store import APPEND_PARTITIONS

if TYPE_CHECKING:
    import duckdb

MAX_NAMED_ROWS = 1000
"""So many rows of one segment are named; more say the same."""
_DUCKDB_TYPES = {
    "string": "VARCHAR",
    "int64": "BIGINT",
    "int32": "INTEGER",
    "bool": "BOOLEAN",
    "list<item: string>": "VARCHAR[]",
    "map<string, int64>": "MAP(VARCHAR, BIGINT)",
}


class ColumnFault(NamedTuple):
    """A row whose typed columns say something else than its record."""

    offset: int
    item: int
    how: str


def check_columns(connection: duckdb.DuckDBPyConnection, location: str, topic_id: str) -> list[ColumnFault]:
    """The rows of one segment (path or URL) whose typed columns differ from `meta`.

    Raises duckdb.Error where the file cannot be read.
    """
    import duckdb

    try:
        rows = _differing(connection, location, mismatch_sql(topic_id))
    except (duckdb.InvalidInputException, duckdb.ConversionException):
        # A `meta` that is not JSON: rare enough to pay for catching it row by row only then.
        rows = _differing(connection, location, mismatch_sql(topic_id, tolerant=True))
    return [ColumnFault(row["offset"], row["item"], _difference(row, topic_id)) for row in rows]


def _differing(connection: duckdb.DuckDBPyConnection, location: str, predicate: str) -> list[dict[str, Any]]:
    query = f"SELECT * FROM read_parquet($file) WHERE {predicate} LIMIT {MAX_NAMED_ROWS}"  # noqa: S608 (made from our own column names)
    cursor = connection.execute(query, {"file": location})
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@cache
def mismatch_sql(topic_id: str, tolerant: bool = False) -> str:
    """A predicate over a segment's columns: true for a row whose typed columns are not those of its
    record, a kind that its partition does not hold, or an erased row that kept a typed column."""
    columns = typed_columns(topic_id)
    kinds = sorted({kind for column in columns for kind in column.paths})
    cases = "\n".join(f"WHEN '{kind}' THEN {_kind_sql(topic_id, columns, kind, tolerant)}" for kind in kinds)
    kept = " OR ".join(f'"{column.name}" IS NOT NULL' for column in columns)
    return f"CASE WHEN meta IS NULL THEN ({kept}) ELSE CASE kind\n{cases}\nELSE true END END"


def _kind_sql(topic_id: str, columns: tuple[TypedColumn, ...], kind: str, tolerant: bool) -> str:
    record = {"kind": _Leaf("kind", "VARCHAR")}
    origin: dict[str, _Leaf] = {}
    if topic_id not in APPEND_PARTITIONS:
        origin = {"offset": _Leaf("offset", "BIGINT"), "item": _Leaf("item", "INTEGER")}
    further: list[str] = []
    for column in columns:
        path = cast("dict[str, str]", column.paths).get(kind)
        leaf = _Leaf(column.name, _DUCKDB_TYPES[str(column.type)])
        if path is None:
            further.append(f'"{column.name}" IS NOT NULL')
        elif path.startswith("origin."):
            origin[path.removeprefix("origin.")] = leaf
        elif "." in path or path in record:
            # Objects that may be absent, and a second copy of one field: rows of these are few.
            further.append(f"meta->>'$.{path}' IS DISTINCT FROM \"{column.name}\"")
        else:
            record[path] = leaf
    types, values = _struct(record)
    if origin:
        origin_types, origin_values = _struct(origin)
        types, values = {**types, "origin": origin_types}, {**values, "origin": _literal(origin_values)}
    parsed = f"from_json(meta, '{json.dumps(types)}')"
    parsed = f"try({parsed})" if tolerant else parsed
    return f"({' OR '.join([f'{parsed} IS DISTINCT FROM {_literal(values)}', *further])})"


class _Leaf(NamedTuple):
    """The column that copies a field of the record, and its DuckDB type."""

    column: str
    type: str


def _struct(leaves: dict[str, _Leaf]) -> tuple[dict[str, Any], dict[str, str]]:
    """The structure for `from_json`, and the columns that must equal what it gives."""
    types = {name: leaf.type for name, leaf in leaves.items()}
    return types, {name: f'"{leaf.column}"' for name, leaf in leaves.items()}


def _literal(values: dict[str, str]) -> str:
    return "{" + ", ".join(f"'{name}': {value}" for name, value in values.items()) + "}"


def _difference(row: dict[str, Any], topic_id: str) -> str:
    if row["meta"] is None:
        return "an erased row kept typed columns"
    try:
        meta = json.loads(row["meta"])
    except ValueError:
        return "its meta is not JSON"
    if not isinstance(meta, dict):
        return "its meta is not a JSON object"
    record = cast("dict[str, Any]", meta)
    differing = [
        column.name
        for column in typed_columns(topic_id)
        if row[column.name] != _follow(record, cast("dict[str, str]", column.paths).get(row["kind"]))
    ]
    differing += ["kind"] if record.get("kind") != row["kind"] else []
    names = ", ".join(differing) or "offset or item"
    return f"typed columns differ from the record: {names}"


def _follow(record: dict[str, Any], path: str | None) -> Any:
    value: Any = record if path else None
    for name in path.split(".") if path else []:
        value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
    return value
