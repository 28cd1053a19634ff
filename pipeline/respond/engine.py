"""How the state database is reached: an SQLite file, or a PostgreSQL server that several hosts share.

Writing transactions take turns on either: SQLite has one writer at a time, and on PostgreSQL an advisory lock
makes it so. Hence what one transaction read of incidents, numbers and pages still holds when it writes, no
two of them deadlock, and both databases behave alike. Isolation on PostgreSQL: a writer runs READ COMMITTED,
so that each statement sees what the turn before committed; a reader runs REPEATABLE READ, read only, so that
all its statements see one moment.
"""

import math
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from pipeline import durable
from pipeline.errors import ConfigError
from pipeline.respond.config import StateConfig

READ_ONLY = "auditfuse_read_only"
"""Execution option of connections that only read: they take no lock."""
TURN = "auditfuse_turn"
"""Execution option: False for a writer that touches rows that are its own alone, and so needs no turn."""
WRITERS, ACTIVE = 0x61756477, 0x61756461
"""Classes of advisory locks: the turns of writers, and the one member that responds."""
TAKE_TURN = text(f"SELECT pg_advisory_xact_lock({WRITERS}, hashtext(coalesce(current_schema(), '')))")
_SILENT_S = 10
"""How long a server that does not answer at all is waited for before its connection is given up."""
_HINTS = (
    ("permission denied", "the user may not do this"),
    ("relation", "its tables are missing"),
    ("no such table", "its tables are missing"),
    ('database "', "there is no such database"),
    ('role "', "there is no such user"),
    ("password authentication failed", "the server refuses the user or the password"),
    ("no password supplied", "the server wants a password"),
    ("no pg_hba.conf entry", "the server takes no connection of this user from this host"),
    ("certificate", "the server's certificate is not accepted"),
    ("ssl", "TLS cannot be agreed on"),
    ("refused", "nothing listens there"),
    ("resolve", "the host's name is not known"),
    ("name or service", "the host's name is not known"),
    ("too many", "the server has no connection left"),
    ("connection slots", "the server has no connection left"),
    ("timeout", "it does not answer in time"),
    ("read-only", "it is read-only now"),
    ("full", "its disk is full"),
    ("locked", "another process has locked it"),
)


def open_engine(config: StateConfig) -> Engine:
    """The engine of the configured database. Makes the directory of an SQLite file."""
    try:
        url = make_url(config.url.get_secret_value())
        if url.get_backend_name() == "postgresql":
            return _postgresql(postgresql_url(config), config)
        if url.get_backend_name() != "sqlite":
            raise ArgumentError("neither SQLite nor PostgreSQL")
    except (ArgumentError, ImportError):
        raise ConfigError(
            "state.url is not a database URL that can be used here; "
            "write sqlite:///PATH, or postgresql+psycopg://… with psycopg installed"
        ) from None
    if url.database and url.database != ":memory:":
        durable.make_directory(Path(url.database).resolve().parent)
    engine = create_engine(url, connect_args={"timeout": config.busy_timeout_ms / 1000}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def sqlite_file(config: StateConfig) -> Path | None:
    """The file of an SQLite state database; None where it is a server's."""
    url = make_url(config.url.get_secret_value())
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def place_of(config: StateConfig) -> str:
    """Where the database is, in words for people. No password and no user."""
    file = sqlite_file(config)
    if file is not None:
        return str(file)
    url = make_url(config.url.get_secret_value())
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()} {url.host or 'here'}{port}/{url.database or ''}"


def goes_unverified(config: StateConfig) -> bool:
    """Whether a server elsewhere is talked to without making sure that it is the one."""
    url = make_url(config.url.get_secret_value())
    if url.get_backend_name() == "sqlite" or url.host in (None, "localhost", "127.0.0.1", "::1"):
        return False
    return not str(url.host).startswith("/") and url.query.get("sslmode") not in ("verify-ca", "verify-full")


def connect_arguments(url: URL, config: StateConfig) -> dict[str, Any]:
    """What libpq is told besides the URL: no peer that is gone is waited for for long. What the URL says
    itself stands."""
    wanted = {
        "connect_timeout": max(2, math.ceil(config.busy_timeout_ms / 1000)),
        "application_name": "auditfuse",
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": _SILENT_S * 1000,
    }
    return {name: value for name, value in wanted.items() if name not in url.query}


def hint(error: DBAPIError) -> str:
    """What a driver's error means, in words of ours: its own may hold the address or a statement's values."""
    kind = type(error.orig).__name__
    state = getattr(error.orig, "sqlstate", None)
    said = str(error.orig).casefold()
    known = next((words for part, words in _HINTS if part in said), None)
    return ", ".join(part for part in (kind, state, known) if part)


def postgresql_url(config: StateConfig) -> URL:
    """The server's URL, with the driver that is used here where it names none."""
    url = make_url(config.url.get_secret_value())
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _postgresql(url: URL, config: StateConfig) -> Engine:
    kept = min(2, config.pool_size)
    engine = create_engine(
        url,
        connect_args=connect_arguments(url, config),
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        pool_size=kept,
        max_overflow=config.pool_size - kept,
        pool_timeout=max(config.busy_timeout_ms, 1_000) / 1000,
        # The same few connections again: those that a busy moment needed fall away.
        pool_use_lifo=True,
        pool_pre_ping=True,
    )
    limits = {
        "statement_timeout": config.statement_timeout_ms,
        "lock_timeout": max(config.busy_timeout_ms, 1),
        # A process that is frozen in a transaction must not hold up all others for ever.
        "idle_in_transaction_session_timeout": config.statement_timeout_ms,
    }

    def prepare(connection: Any, _record: Any) -> None:
        for name, value in limits.items():
            connection.execute(f"SET {name} = {int(value)}")
        connection.commit()

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def _begin_postgresql(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get(READ_ONLY, False) and options.get(TURN, True):
        connection.execute(TAKE_TURN)


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # Python's own transaction handling begins too late and only for some statements: _begin_sqlite does it.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that turns from reading to writing can fail at once, without waiting for the lock.
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
