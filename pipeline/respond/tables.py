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
    Column("detector", String, nullable=False),
    Column("environment", String, nullable=False),
    Column("agent_id", String, nullable=False),
    Column("status", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("opened_at_ms", BigInteger, nullable=False),
    Column("resolved_at_ms", BigInteger),
    Column("last_window_end_ms", BigInteger, nullable=False),
    Column("episode", LargeBinary, nullable=False),  # JSON of incidents.Episode
    Column("lead", LargeBinary, nullable=False),  # JSON of the FindingRow that the page shows
    Column("trip", Text),
    Column("unanswered_since_ms", BigInteger),  # null while nobody has to answer
    Column("reminders", Integer, nullable=False, default=0),
    Column("escalations", Integer, nullable=False, default=0),
    Column("quiet_since_ms", BigInteger),  # all its findings are taken back; null: not
    Column("attend_at_ms", BigInteger),  # when to look whether it needs a reminder; null: never
    Index("incidents_to_attend", "attend_at_ms"),
    Index("incidents_resolved", "resolved_at_ms"),
    Index("incidents_of_agent", "agent_id", "status"),
    Index("incidents_by_key", "incident_key", "number", unique=True),
    Index("incidents_by_status", "status", "opened_at_ms"),
)

numbers = Table(
    "numbers",
    metadata,
    Column("incident_key", String, primary_key=True),
    Column("number", Integer, nullable=False),
)
"""The last number of keys whose incidents are pruned: no id is ever given twice."""

silences = Table(
    "silences",
    metadata,
    Column("silence_id", String, primary_key=True),
    Column("agent", String, nullable=False),  # a glob, as the next two
    Column("detector", String, nullable=False),
    Column("environment", String, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("holds_trips", Boolean, nullable=False),
    Column("by", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    Column("ended_by", String),
    Index("silences_by_end", "until_ms"),
)
"""Whose pages wait, until when and why; until `ended_at_ms` where somebody ended it before its time."""

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
    Column("kind", String, nullable=False),  # finding | withdrawal | incident | silence
    Column("body", LargeBinary, nullable=False),  # JSON of the row
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
    Column("state", String, nullable=False),  # pending | held | bundled | sent | rerouted | dropped
    Column("told_in", String),  # the summary's page id, where it is told in one
    Column("held_by", String),  # the silence or maintenance window that holds it
    Column("together", String),  # what it is told together with: the same for several incidents of an agent
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at_ms", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("sent_at_ms", BigInteger),
    Column("last_error", Text),
    Index("pages_once", "page_id", "target", unique=True),
    Index("pages_due", "target", "state", "severity_rank"),
    Index("pages_of_incident", "incident_id"),
    Index("pages_by_state", "state", "created_at_ms"),
)
"""Outbox: one row a page and target. It is not `sent` before that target has taken it, or its summary.
`held` waits for the end of a silence; `dropped` was overtaken: nobody needs it any more."""

links = Table(
    "links",
    metadata,
    Column("secret_hash", String, primary_key=True),  # SHA-256 of the secret, which is stored nowhere
    Column("incident_id", String, nullable=False),
    Column("person", String, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("used_at_ms", BigInteger),
    Index("links_by_end", "expires_at_ms"),
)
"""One-time links to incident pages: the first POST with a secret uses it up."""

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
    Index("deliveries_by_time", "at_ms"),
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


def sqlite_file(config: StateConfig) -> Path | None:
    """The file of an SQLite state database; None where it is a server's."""
    url = make_url(config.url.get_secret_value())
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # Python's own transaction handling begins too late and only for some statements: _begin_sqlite does it.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that turns from reading to writing can fail at once, without waiting for the lock.
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
