"""Queries by people: the newest catalog, opened so that nothing can be written and nothing else be read."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.audit.catalog import newest_catalog
from pipeline.audit.reading import confine, prepare
from pipeline.audit.store import Store
from pipeline.errors import AuditfuseError, StoreError

if TYPE_CHECKING:
    import duckdb

_READING = frozenset(
    {"select", "from", "with", "values", "table", "pivot", "unpivot", "describe", "desc", "show", "summarize"}
)
_SESSION = frozenset({"set", "reset", "pragma", "create", "drop"})
"""Statements about the session: the catalog is open read-only and its settings are locked, so these
reach temporary tables, macros and variables alone."""
_COMMENT = re.compile(r"\s*(--[^\n]*(\n|$)|/\*.*?\*/)", re.DOTALL)
_VANISHED = re.compile(
    r"(No files found that match the pattern|Cannot open file) \"[^\"]*\.parquet|\.parquet/\*\*/"
)
"""DuckDB takes a file that is not there for a directory, and asks to look into it."""
_EXPLAIN = re.compile(r"explain(\s+analyze)?(\s*\([^)]*\))?\s*", re.IGNORECASE)


class QueryError(AuditfuseError):
    """A query that DuckDB refuses, or that is not one that reads."""


class Query:
    """An open catalog. Made by `open_catalog`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def run(self, text: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """Run each statement of `text` that gives rows, one after the other.

        Yields the connection, from which names (`description`) and rows (`fetchmany`) are taken.
        Raises QueryError with DuckDB's message, which may quote the query.
        """
        import duckdb

        try:
            statements = self._connection.extract_statements(text)
            for statement in statements:
                _require_reading(statement.query)
                yield self._connection.execute(statement)
        except duckdb.Error as error:
            raise query_error(error) from None


@contextlib.contextmanager
def open_catalog(store: Store) -> Generator[Query]:
    """The catalog of `store`, brought up to date first, for the time of the context."""
    with connect_newest(store) as connection:
        yield Query(connection)


@contextlib.contextmanager
def connect_newest(store: Store) -> Generator[duckdb.DuckDBPyConnection]:
    """As `open_catalog`, but the connection itself: for queries of our own."""
    setup = store.objects.duckdb_setup() or []
    with newest_catalog(store) as path, connect_read_only(path, setup) as connection:
        yield connection


@contextlib.contextmanager
def open_file(path: Path) -> Generator[Query]:
    """A catalog file as it is: a copy, or the readers'. Raises StoreError where it is none or is closed."""
    import duckdb

    with contextlib.ExitStack() as stack:
        try:
            connection = stack.enter_context(connect_read_only(path))
        except duckdb.CatalogException:
            raise StoreError(f"{path} is no catalog of auditfuse") from None
        except duckdb.IOException:
            raise StoreError(f"{path} cannot be opened: not there, not DuckDB, or closed to you") from None
        yield Query(connection)


@contextlib.contextmanager
def connect_read_only(path: Path, setup: Iterable[str] = ()) -> Generator[duckdb.DuckDBPyConnection]:
    """A connection to a catalog that can read its live segments and no other file, write none, and
    change no setting. `setup`: the statements by which it reaches them (`Objects.duckdb_setup`)."""
    import duckdb

    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute("SELECT coalesce(list(path), []) FROM live_segments").fetchone()
        paths: list[str] = found[0] if found else []
        if any("://" in location for location in paths):
            prepare(connection, setup)
        confine(connection, paths)
        yield connection


def _require_reading(statement: str) -> None:
    """COPY and its like could write over the very segments that may be read: only what reads may run."""
    text = statement
    while match := _COMMENT.match(text):
        text = text[match.end() :]
    text = _EXPLAIN.sub("", text.lstrip(" \t\r\n("), count=1) if _EXPLAIN.match(text.lstrip()) else text
    words = re.findall(r"[a-z_]+", text.lower())
    word = words[0] if words else ""
    if word not in _READING and word not in _SESSION:
        raise QueryError(
            f"the catalog is read-only: a statement that starts with {word.upper()!r} cannot run here"
        )


def query_error(error: Exception) -> QueryError:
    """What DuckDB says, which may quote the query; where a file vanished, why, and what to do."""
    text = "\n".join(line.rstrip() for line in str(error).splitlines() if line.strip())
    if _VANISHED.search(text):
        text = (
            "a file of this catalog is gone: compaction or erasure replaced it since the catalog was opened; "
            "open the newest catalog and run the query again"
        )
    return QueryError(text)
