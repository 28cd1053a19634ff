"""The `verify.sql` of an export: DuckDB compares its rows with its proofs, its columns with the records."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, NamedTuple, cast

from pipeline.audit.columns import TypedColumn, typed_columns
from pipeline.audit.store import APPEND_PARTITIONS

_DUCKDB_TYPES = {
    "string": "VARCHAR",
    "int64": "BIGINT",
    "int32": "INTEGER",
    "bool": "BOOLEAN",
    "list<item: string>": "VARCHAR[]",
    "map<string, int64>": "MAP(VARCHAR, BIGINT)",
}


def layout(topic_id: str) -> str:
    """The folder below `rows/` for the rows of a partition: files in one folder have the same columns."""
    return "control" if topic_id in APPEND_PARTITIONS else "events"


def verify_sql(topic_ids: Iterable[str]) -> str:
    """The script for a folder that holds rows of these topic ids."""
    layouts = {layout(topic_id): topic_id for topic_id in topic_ids}
    rows = "\nUNION ALL\n".join(_rows_sql(topic_id) for _, topic_id in sorted(layouts.items()))
    template = files("pipeline.audit.export").joinpath("folder", "verify.sql").read_text(encoding="utf-8")
    return template.replace("/* ROWS */", rows)


def _rows_sql(topic_id: str) -> str:
    """The rows of one layout, each with whether its typed columns differ from its record."""
    columns = typed_columns(topic_id)
    kinds = sorted({kind for column in columns for kind in column.paths})
    cases = "\n        ".join(f"WHEN '{kind}' THEN {_kind_sql(topic_id, columns, kind)}" for kind in kinds)
    kept = " OR ".join(f'"{column.name}" IS NOT NULL' for column in columns)
    return f"""SELECT filename, "offset", item, meta, payload, salt_m, salt_p, cp, c,
    CASE WHEN meta IS NULL THEN {kept}
    ELSE CASE kind
        {cases}
        ELSE true END
    END AS columns_differ
FROM read_parquet('rows/{layout(topic_id)}/*.parquet', filename = true)"""  # noqa: S608 (our own names)


class _Copied(NamedTuple):
    """A column that copies a field of the record, and its DuckDB type."""

    column: str
    type: str


def _kind_sql(topic_id: str, columns: tuple[TypedColumn, ...], kind: str) -> str:
    """Whether a row of this kind differs: one parse of the record for what every record has."""
    record = {"kind": _Copied("kind", "VARCHAR")}
    origin: dict[str, _Copied] = {}
    if topic_id not in APPEND_PARTITIONS:
        origin = {"offset": _Copied("offset", "BIGINT"), "item": _Copied("item", "INTEGER")}
    further: list[str] = []
    for column in columns:
        path = cast("dict[str, str]", column.paths).get(kind)
        copied = _Copied(column.name, _DUCKDB_TYPES[str(column.type)])
        if path is None:
            further.append(f'"{column.name}" IS NOT NULL')
        elif path.startswith("origin."):
            origin[path.removeprefix("origin.")] = copied
        elif "." in path or path in record:
            # Objects that may be absent, and a second copy of one field.
            further.append(f"meta->>'$.{path}' IS DISTINCT FROM \"{column.name}\"")
        else:
            record[path] = copied
    types: dict[str, Any] = {name: copied.type for name, copied in record.items()}
    values = {name: f'"{copied.column}"' for name, copied in record.items()}
    if origin:
        types["origin"] = {name: copied.type for name, copied in origin.items()}
        values["origin"] = _struct({name: f'"{copied.column}"' for name, copied in origin.items()})
    parsed = f"from_json(meta, '{json.dumps(types)}') IS DISTINCT FROM {_struct(values)}"
    return f"({' OR '.join([parsed, *further])})"


def _struct(values: dict[str, str]) -> str:
    return "{" + ", ".join(f"'{name}': {value}" for name, value in values.items()) + "}"
