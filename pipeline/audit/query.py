"""Queries by people: the newest catalog, opened so that nothing can be written and nothing else be read."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.audit.catalog import newest_catalog
from pipeline.errors import AuditfuseError

if TYPE_CHECKING:
    import duckdb

_READING = frozenset(
    {"select", "from", "with", "values", "table", "pivot", "unpivot", "describe", "desc", "show", "summarize"}
)
_SESSION = frozenset({"set", "reset", "pragma", "create", "drop"})
"""Statements about the session: the catalog is open read-only and its settings are locked, so these
reach temporary tables, macros and variables alone."""
_COMMENT = re.compile(r"\s*(--[^\n]*(\n|$)|/\*.*?\*/)", re.DOTALL)
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
            raise QueryError(_message(error)) from None


@contextlib.contextmanager
def open_catalog(root: Path) -> Generator[Query]:
    """The catalog of the store at `root`, brought up to date first, for the time of the context."""
    with newest_catalog(root) as path, connect_read_only(path) as connection:
        yield Query(connection)


@contextlib.contextmanager
def connect_read_only(path: Path) -> Generator[duckdb.DuckDBPyConnection]:
    """A connection to a catalog that can read its live segments and no other file, write none, and
    change no setting."""
    import duckdb

    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute("SELECT coalesce(list(path), []) FROM live_segments").fetchone()
        paths: list[str] = found[0] if found else []
        # A value of SET cannot be a parameter; file names have no quotes but the store's path may.
        listed = ", ".join("'" + name.replace("'", "''") + "'" for name in paths)
        connection.execute(f"SET allowed_paths = [{listed}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET lock_configuration = true")
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


def _message(error: Exception) -> str:
    lines = [line.rstrip() for line in str(error).splitlines() if line.strip()]
    return "\n".join(lines)
