"""An empty catalog with all views, macros and comments, made once a process and then copied.

Hundreds of comments take longer than everything else in a catalog, and it is built once a second: only
the three views that name the files are made anew.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import durable
from pipeline.audit.columns import APPEND_COLUMNS, CHAIN_FIELDS, EVENT_COLUMNS
from pipeline.audit.views.base import View, base_views, quoted
from pipeline.audit.views.control import control_views
from pipeline.audit.views.events import event_views
from pipeline.audit.views.fields import FIELDS
from pipeline.audit.views.files import TABLES, file_views
from pipeline.audit.views.macros import MACROS

if TYPE_CHECKING:
    import duckdb


def start_catalog(target: Path, *, has_repeats: bool) -> None:
    """Write a catalog to `target` that shows no rows yet; its tables are there to be filled.

    `has_repeats` false leaves the look-up of repeats out of `events`.
    """
    durable.write_synced(target, _template(has_repeats), 0o640)


def point_to(
    connection: duckdb.DuckDBPyConnection,
    event_paths: Sequence[str],
    control_paths: Sequence[str],
    finding_paths: Sequence[str],
) -> None:
    """Let the views of a started catalog show the rows of these files."""
    views = base_views(event_paths, control_paths, finding_paths)
    connection.execute("BEGIN")
    for view in views:
        connection.execute(f'CREATE OR REPLACE VIEW "{view.name}" AS {view.sql}')
    _comment(connection, views, _stored_columns())
    connection.execute("COMMIT")


def derived_views(has_repeats: bool) -> list[View]:
    """The views for people."""
    return [*event_views(has_repeats), *control_views(), *file_views()]


@functools.cache
def fingerprint() -> str:
    """SHA-256 (hex) of everything that a template is made of."""
    parts = repr((TABLES, base_views([], [], []), derived_views(has_repeats=True), MACROS, FIELDS))
    return sha256(parts.encode()).hexdigest()


@functools.lru_cache(maxsize=2)
def _template(has_repeats: bool) -> bytes:
    import duckdb

    with tempfile.TemporaryDirectory(prefix="auditfuse-catalog-") as folder:
        path = Path(folder) / "template.duckdb"
        with duckdb.connect(str(path)) as connection:
            connection.execute("BEGIN")
            for table in TABLES:
                connection.execute(f'CREATE TABLE "{table.name}" ({table.sql})')
            views = [*base_views([], [], []), *derived_views(has_repeats)]
            for view in views:
                connection.execute(f'CREATE VIEW "{view.name}" AS {view.sql}')
            _comment(connection, views, connection.execute(_COLUMNS).fetchall())
            _comment_tables(connection)
            _create_macros(connection)
            connection.execute("COMMIT")
        return path.read_bytes()


def _comment(
    connection: duckdb.DuckDBPyConnection, views: Sequence[View], columns: Iterable[tuple[str, str]]
) -> None:
    """Comments on views, and on their columns; `columns` are (view, column)."""
    own = {view.name: view.columns for view in views}
    comments = [f'COMMENT ON VIEW "{view.name}" IS {quoted(view.comment)}' for view in views]
    comments += [_on_column(name, column, own[name]) for name, column in columns if name in own]
    # One script: a statement at a time would take half a millisecond each.
    connection.execute(";\n".join(comments))


def _comment_tables(connection: duckdb.DuckDBPyConnection) -> None:
    for table in TABLES:
        connection.execute(f'COMMENT ON TABLE "{table.name}" IS {quoted(table.comment)}')
        columns = connection.execute(_COLUMNS + f" AND table_name = {quoted(table.name)}").fetchall()
        connection.execute(";\n".join(_on_column(name, column, table.columns) for name, column in columns))


def _on_column(name: str, column: str, own: Mapping[str, str]) -> str:
    text = own.get(column) or FIELDS.get(column)
    return f'COMMENT ON COLUMN "{name}"."{column}" IS {quoted(text) if text else "NULL"}'


def _create_macros(connection: duckdb.DuckDBPyConnection) -> None:
    for macro in MACROS:
        kind = "TABLE " if macro.is_table else ""
        connection.execute(f"CREATE MACRO {macro.name}({macro.parameters}) AS {kind}{macro.sql}")
        connection.execute(f"COMMENT ON MACRO {kind}{macro.name} IS {quoted(macro.comment)}")


def _stored_columns() -> Iterator[tuple[str, str]]:
    """The columns of the views straight over the files, as `base_views` has them."""
    for name, typed in (
        ("all_rows", EVENT_COLUMNS),
        ("control_rows", APPEND_COLUMNS),
        ("finding_rows", APPEND_COLUMNS),
    ):
        yield from ((name, column) for column in (*(f.name for f in CHAIN_FIELDS), *(c.name for c in typed)))


_COLUMNS = "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal"
