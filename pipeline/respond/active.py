"""Which member responds: one at a time delivers pages and seals findings, the others wait to take over.

On PostgreSQL the right is an advisory lock of a connection of its own. The server takes it back once that
connection ends, or says nothing for LEASE_S; its holder stops relying on it after HELD_S without an answer,
which is sooner: two members never hold it at a time, whatever the network does and however long a process
stands still. A pooler may stand between only if it keeps sessions apart. Beside an SQLite file it is a file
lock, which the system gives back when a process ends, however it ends.
"""

import contextlib
import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from pipeline import durable
from pipeline.respond.config import StateConfig
from pipeline.respond.engine import ACTIVE, connect_arguments, hint, postgresql_url, sqlite_file

BEAT_S = 1.0
"""How often the holder asks whether its connection still stands."""
HELD_S = 4.0
"""How long the right counts as held after the last answer."""
LEASE_S = 8.0
"""How long the server waits for the holder to say something. More than HELD_S."""
_KEY = f"({ACTIVE}, hashtext(coalesce(current_schema(), '')))"
_TAKE = text(f"SELECT pg_try_advisory_lock{_KEY}")
_ASK = text("SELECT 1")
_GIVE_BACK = text("SELECT pg_advisory_unlock_all()")
_log = structlog.get_logger("auditfuse.respond")


class _Right(Protocol):
    @property
    def is_held(self) -> bool: ...
    def try_acquire(self) -> bool: ...
    def release(self) -> None: ...


class ActiveLock:
    """The right to respond, for one process. Safe to share between threads; all but `is_held` may block."""

    def __init__(self, config: StateConfig, on_lost: Callable[[], None] | None = None) -> None:
        """`on_lost` is called, from a thread of its own, once a held lock turns out to be lost."""
        file = sqlite_file(config)
        is_server = make_url(config.url.get_secret_value()).get_backend_name() != "sqlite"
        self._right: _Right = _ServerLock(config, on_lost) if is_server else _FileLock(file)

    def try_acquire(self) -> bool:
        """Take it, if nobody has it. Never waits for who has it, and never raises: where the database is away
        it is False, and the log says why. Call it again every second or so."""
        return self._right.is_held or self._right.try_acquire()

    @property
    def is_held(self) -> bool:
        """Whether this process may respond now. Ask before each step; costs nothing."""
        return self._right.is_held

    def release(self) -> None:
        """Give it back, so that another member takes over at once."""
        self._right.release()


class _FileLock:
    """A lock beside the database's file."""

    def __init__(self, database: Path | None) -> None:
        """`database`: None for one in memory, which no other process sees."""
        self._path = None if database is None else database.with_name(f"{database.name}.active")
        self._descriptor: int | None = None
        self._in_memory = False

    @property
    def is_held(self) -> bool:
        """Also False where somebody has deleted the file: another process may have the new one."""
        descriptor = self._descriptor
        if self._path is None or descriptor is None:
            return self._in_memory
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except OSError:
            return False

    def try_acquire(self) -> bool:
        if self._path is None:
            self._in_memory = True
            return True
        self.release()
        try:
            durable.make_directory(self._path.resolve().parent)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            _log.warning("no_lock_to_respond", kind=error.strerror)
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return self.is_held

    def release(self) -> None:
        self._in_memory = False
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # Closing alone would not let go of it while a forked child has the descriptor too.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


class _ServerLock:
    """An advisory lock of one connection, asked about by a thread for as long as it is held."""

    def __init__(self, config: StateConfig, on_lost: Callable[[], None] | None) -> None:
        url = postgresql_url(config)
        # A peer that acknowledges nothing is gone before the right ends.
        arguments = {**connect_arguments(url, config), "tcp_user_timeout": int(HELD_S * 1000)}
        self._engine = create_engine(
            url,
            connect_args=arguments,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
        )
        self._on_lost = on_lost
        self._guard = threading.Lock()
        """Held by who uses the connection."""
        self._connection: Connection | None = None
        self._held_until_s = 0.0
        self._let_go = threading.Event()

    @property
    def is_held(self) -> bool:
        return _now_s() < self._held_until_s

    def try_acquire(self) -> bool:
        with self._guard:
            asked_s = _now_s()
            try:
                with self._soon():
                    connection = self._connection or self._connect()
                    if not connection.scalar(_TAKE):
                        return False
            except DBAPIError as error:
                _log.warning("no_lock_to_respond", kind=hint(error))
                self._drop()
                return False
            self._held_until_s = asked_s + HELD_S
            self._let_go = threading.Event()
            threading.Thread(
                target=self._keep, args=(self._let_go,), name="respond-lock", daemon=True
            ).start()
        return True

    def release(self) -> None:
        self._let_go.set()
        with self._guard:
            was_held, self._held_until_s = self.is_held, 0.0
            if was_held and self._connection is not None:
                # Said, not only closed: the server takes a moment to see that a connection is gone.
                with contextlib.suppress(DBAPIError), self._soon():
                    self._connection.execute(_GIVE_BACK)
            self._drop()

    def _connect(self) -> Connection:
        connection = self._connection = self._engine.connect()
        connection.execute(text(f"SET idle_session_timeout = {int(LEASE_S * 1000)}"))
        return connection

    @contextlib.contextmanager
    def _soon(self) -> Generator[None]:
        """Break the connection off if what is done takes as long as the right lasts: something between may
        take what is sent, and answer nothing."""
        timer = threading.Timer(HELD_S, self._break_off)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _break_off(self) -> None:
        connection = self._connection
        driver: Any = None if connection is None else connection.connection.driver_connection
        with contextlib.suppress(Exception):
            if driver is not None:
                with socket.socket(fileno=os.dup(driver.fileno())) as shared:
                    shared.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.invalidate()  # closed without a word: it may be dead
            with contextlib.suppress(Exception):
                connection.close()

    def _keep(self, let_go: threading.Event) -> None:
        """Ask for as long as answers come in time."""
        while not let_go.wait(BEAT_S):
            if not self._ask(let_go):
                break
        if not let_go.is_set():
            _log.error("lock_to_respond_lost")
            if self._on_lost is not None:
                self._on_lost()

    def _ask(self, let_go: threading.Event) -> bool:
        with self._guard:
            if let_go.is_set() or self._connection is None:
                return False
            asked_s = _now_s()
            try:
                with self._soon():
                    self._connection.execute(_ASK)
                # An answer that comes after the end of the right is none: another may have it by then.
                if self.is_held:
                    self._held_until_s = asked_s + HELD_S
                    return True
            except DBAPIError:
                pass
            self._held_until_s = 0.0
            self._drop()
            return False


def _now_s() -> float:
    """Seconds that go on while the machine sleeps, too."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
