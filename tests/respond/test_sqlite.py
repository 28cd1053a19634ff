"""The state database as an SQLite file: its lock, its version, its URL."""

import sqlite3
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.respond import START_MS, found, open_state

from pipeline.errors import ConfigError, StoreError
from pipeline.respond.config import StateConfig
from pipeline.respond.state import StateDatabase, StateUnavailable

PART = ("traces.0123456789abcdef0123456789abcdef", 0)
NOW_MS = START_MS + 10_000


def test_a_locked_database_is_waited_for(tmp_path: Path) -> None:
    state = open_state(tmp_path, busy_timeout_ms=10)
    blocker = sqlite3.connect(tmp_path / "state.db", isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.4, lambda: blocker.execute("ROLLBACK"))
    release.start()
    state.consume([found()], {PART: (0, 40)}, NOW_MS)
    release.join()
    blocker.close()
    assert state.sealed_ends() == {PART: 40}
    assert len(state.incidents()) == 1
    state.close()


def test_a_database_locked_for_too_long_changes_nothing_and_says_so(tmp_path: Path) -> None:
    state = open_state(tmp_path, busy_timeout_ms=10, retry_for_ms=50)
    blocker = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnavailable, match="OperationalError"):
        state.consume([found()], {PART: (0, 40)}, NOW_MS)
    assert state.sealed_ends() == {}  # readers are not held up
    blocker.close()
    state.consume([found()], {PART: (0, 40)}, NOW_MS)
    assert len(state.incidents()) == 1
    state.close()


def test_a_schema_of_another_version_is_refused(tmp_path: Path) -> None:
    open_state(tmp_path).close()
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    connection.close()
    with pytest.raises(StoreError, match="has schema 99"):
        open_state(tmp_path)


def test_a_wrong_url_is_named_without_its_password() -> None:
    with pytest.raises(ConfigError) as raised:
        StateDatabase(StateConfig(url=SecretStr("nosuchdb://u:hunter2@host/x")))
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in repr(StateConfig(url=SecretStr("postgresql://u:hunter2@host/x")))
