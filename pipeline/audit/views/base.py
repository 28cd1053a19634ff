"""What a view and a macro are, and the views straight over the files, that the others stand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.audit.columns import APPEND_COLUMNS, CHAIN_FIELDS, EVENT_COLUMNS, TypedColumn

_DUCKDB_TYPES = {
    "string": "VARCHAR",
    "int64": "BIGINT",
    "int32": "INTEGER",
    "bool": "BOOLEAN",
    "binary": "BLOB",
    "list<item: string>": "VARCHAR[]",
    "map<string, int64>": "MAP(VARCHAR, BIGINT)",
}


class View(NamedTuple):
    """A view: its name, what one row is, its SQL, and what its own columns are.

    `columns` has those whose meaning is the view's; what others mean stands in `fields.FIELDS`.
    """

    name: str
    comment: str
    sql: str
    columns: Mapping[str, str] = {}


class Macro(NamedTuple):
    """A question under a name: `FROM name(…)`, or a value where `is_table` is false."""

    name: str
    parameters: str
    """As they stand in CREATE MACRO, with their defaults."""
    comment: str
    sql: str
    example: str
    """A statement that runs on any catalog."""
    is_table: bool = True


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def rows_sql(paths: Sequence[str], columns: Sequence[TypedColumn]) -> str:
    """Every stored column of these files; without files, no rows of the same types."""
    if paths:
        return f"SELECT * FROM read_parquet([{', '.join(map(quoted, paths))}])"  # noqa: S608 (quoted file names)
    fields = [(field.name, str(field.type)) for field in CHAIN_FIELDS]
    fields += [(column.name, str(column.type)) for column in columns]
    nothing = ", ".join(f'NULL::{_DUCKDB_TYPES[kind]} AS "{name}"' for name, kind in fields)
    return f"SELECT {nothing} WHERE false"


def base_views(
    event_paths: Sequence[str], control_paths: Sequence[str], finding_paths: Sequence[str]
) -> list[View]:
    """The views straight over the files, that the others stand on."""
    return [
        View(
            "all_rows",
            "Every row of the event topics as stored, repeats, dead letters and what was erased included, "
            "and its chain.",
            rows_sql(event_paths, EVENT_COLUMNS),
            {"offset": "Offset of the message in its partition.", "status": "ok, error or unset."},
        ),
        View(
            "control_rows",
            "Every row of _control as stored: commands of the kill switch, erasures and legal holds.",
            rows_sql(control_paths, APPEND_COLUMNS),
            _APPENDED,
        ),
        View(
            "finding_rows",
            "Every row of _findings as stored: findings, withdrawals, changes of incidents, silences.",
            rows_sql(finding_paths, APPEND_COLUMNS),
            _APPENDED,
        ),
    ]


_APPENDED = {
    "offset": "Position of the row in its partition; rows are in the order in which they were sealed.",
    "kind": "command, erasure, hold, finding, withdrawal, incident or silence.",
    "id": "The row's id; nothing is appended twice under one id.",
    "at_ms": "When it was ordered, found or changed; ms since 1970.",
    "command": "trip, reset_request, reset_approval, step_down, expire or accept_baseline; null for other "
    "kinds.",
    "finding_id": "A finding's own id, or that of the finding that a command names.",
    "environment": "Of the finding or incident, or what a command covers (null: every environment).",
    "agent_id": "Of the finding or incident, or what a command covers (null: every agent).",
    "severity": "info, warning or critical; of findings and incidents.",
    "status": "open, acknowledged or resolved; of incidents.",
    "by": "Who ordered or changed it.",
}
