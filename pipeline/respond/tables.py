"""The state database's tables, and the engine that they are reached by. SQLite and PostgreSQL alike."""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import ArgumentError

from pipeline import durable
from pipeline.errors import ConfigError
from pipeline.respond.config import StateConfig

SCHEMA_VERSION = 3
READ_ONLY = "auditfuse_read_only"
"""Execution option of connections that only read: they take no lock."""

# SQLite gives row numbers to INTEGER keys alone.
_Number = BigInteger().with_variant(Integer(), "sqlite")
metadata = MetaData()

schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

consumed = Table(
    "consumed",
    metadata,
    Column("topic_id", String, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("sealed_end", BigInteger, nullable=False),
)

incidents = Table(
    "incidents",
    metadata,
    Column("incident_id", String, primary_key=True),
    Column("incident_key", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("opened_at_ms", BigInteger, nullable=False),
    Column("last_window_end_ms", BigInteger, nullable=False),
    Column("episode", LargeBinary, nullable=False),  # JSON of incidents.Episode
    Column("lead", LargeBinary, nullable=False),  # JSON of the FindingRow that the page shows
    Column("trip", Text),
    Index("incidents_by_key", "incident_key", "number", unique=True),
    Index("incidents_by_status", "status", "opened_at_ms"),
)

findings = Table(
    "findings",
    metadata,
    Column("finding_id", String, primary_key=True),
    Column("incident_id", String, nullable=False, index=True),
    Column("found_at_ms", BigInteger, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
)

appends = Table(
    "appends",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    Column("row_id", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),  # finding | incident
    Column("body", LargeBinary, nullable=False),  # JSON of a FindingRow or an IncidentRow
)
"""Outbox: rows on their way into `_findings`. A row is deleted once it is sealed there."""

pages = Table(
    "pages",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    Column("page_id", String, nullable=False),
    Column("target", String, nullable=False),
    Column("change", String, nullable=False),
    Column("incident_id", String),
    Column("severity_rank", Integer, nullable=False),
    Column("awaits_row", String),
    Column("awaits_until_ms", BigInteger, nullable=False),
    Column("body", LargeBinary),  # JSON of a ready Page; null where it is rendered when sent
    Column("state", String, nullable=False),  # pending | bundled | sent | rerouted
    Column("told_in", String),  # the summary's page id, where it is told in one
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at_ms", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("sent_at_ms", BigInteger),
    Column("last_error", Text),
    Index("pages_once", "page_id", "target", unique=True),
    Index("pages_due", "target", "state", "severity_rank"),
    Index("pages_of_incident", "incident_id"),
)
"""Outbox: one row a page and target. It is not `sent` before that target has taken it, or its summary."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    Column("page_id", String, nullable=False),
    Column("target", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("elapsed_ms", Integer, nullable=False),
    Column("outcome", String, nullable=False),
    Column("error", Text),
    Index("deliveries_by_target", "target", "at_ms"),
    Index("deliveries_by_page", "page_id"),
)
"""A record of every attempt."""

targets = Table(
    "targets",
    metadata,
    Column("name", String, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("failing_since_ms", BigInteger),
    Column("next_attempt_at_ms", BigInteger, nullable=False),
    Column("last_error", Text),
)
"""How each target fares: the pause after failures is the target's, whatever the number of its pages."""

published = Table(
    "published",
    metadata,
    Column("output", String, primary_key=True),
    Column("topic_id", String, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("end", BigInteger, nullable=False),
)
"""For each output topic and input partition: every dead letter below `end` is published."""


def open_engine(config: StateConfig) -> Engine:
    """The engine of the configured database. Makes the directory of an SQLite file."""
    try:
        url = make_url(config.url.get_secret_value())
        if url.get_backend_name() != "sqlite":
            return create_engine(url, pool_pre_ping=True)
    except (ArgumentError, ImportError):
        raise ConfigError(
            "state.url is not a database URL that can be used here; "
            "write sqlite:///PATH, or postgresql+psycopg://… with psycopg installed"
        ) from None
    if url.database and url.database != ":memory:":
        durable.make_directory(Path(url.database).resolve().parent)
    engine = create_engine(url, connect_args={"timeout": config.busy_timeout_ms / 1000})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # Python's own transaction handling begins too late and only for some statements: _begin_sqlite does it.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that turns from reading to writing can fail at once, without waiting for the lock.
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
