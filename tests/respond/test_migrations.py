"""The state database's versions: migrations lead to the next and back; others are refused with a way out."""

import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import support.respond
from alembic import command, op
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection, MetaData, text
from support.audit import sealed_store
from support.respond import START_MS, found, open_state
from typer.testing import CliRunner

from pipeline.commands import state as commands
from pipeline.errors import AuditfuseError, StoreError
from pipeline.respond import tables
from pipeline.respond.state import StateConfig, StateDatabase

if TYPE_CHECKING:
    from support.postgres import PostgresServer

GOLDEN = Path(__file__).parents[1] / "upgrades" / "golden" / "0.1.0.dev" / "state.sql"
PART = ("traces.0123456789abcdef0123456789abcdef", 0)
RUN = CliRunner()


def state_at(directory: Path, version: int | None = None, **changes: Any) -> StateDatabase:
    """A database as it is; with a version, one whose tables the migrations up to it have made."""
    state = StateDatabase(StateConfig(url=support.respond.state_url(directory), **changes))

    def make(connection: Connection) -> None:
        settings = Config(attributes={"connection": connection})
        settings.set_main_option("script_location", "pipeline.respond:migrations")
        command.upgrade(settings, f"{version:04}")
        connection.execute(text("DELETE FROM schema_version"))
        connection.execute(text("INSERT INTO schema_version VALUES (:version)"), {"version": version})

    if version is not None:
        state.write(make)
    return state


def consume_as_before(state: StateDatabase, end: int) -> None:
    """What a process of the first version does, which knows no shards."""
    place = {"topic_id": PART[0], "partition": PART[1], "end": end}
    moved = text(
        "UPDATE consumed SET sealed_end = :end WHERE topic_id = :topic_id AND partition = :partition"
    )
    first = text(
        "INSERT INTO consumed (topic_id, partition, sealed_end) VALUES (:topic_id, :partition, :end)"
    )

    def transaction(connection: Connection) -> None:
        if connection.execute(moved, place).rowcount == 0:
            connection.execute(first, place)

    state.write(transaction)


def differences(connection: Connection, known: MetaData) -> list[Any]:
    """Where the tables are not as `known` has them."""
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return [change for change in compare_metadata(context, known) if "alembic_version" not in str(change)]


def reflected(connection: Connection) -> MetaData:
    metadata = MetaData()
    metadata.reflect(connection)
    return metadata


@pytest.mark.usefixtures("each_database")
def test_migrations_make_the_tables_that_the_code_has(tmp_path: Path) -> None:
    state = state_at(tmp_path, 3)
    first = state.read(reflected)
    assert state.migrate() == 3
    assert state.read(lambda connection: differences(connection, tables.metadata)) == []
    assert state.read(lambda c: [key.name for key in reflected(c).tables["consumed"].primary_key]) == [
        "shard",
        "topic_id",
        "partition",
    ]
    assert state.migrate(3) == tables.SCHEMA_VERSION
    assert state.read(lambda connection: differences(connection, first)) == []
    assert state.migrate(3) == 3, "nothing to do"
    state.close()


@pytest.mark.usefixtures("each_database")
def test_what_is_stored_stays_and_processes_of_before_work_on(tmp_path: Path) -> None:
    state = state_at(tmp_path, 3)
    consume_as_before(state, 40)
    state.migrate()
    assert state.sealed_ends() == {PART: 40}
    consume_as_before(state, 50)
    other = (PART[0], 1)
    state.consume([found()], {PART: (50, 60), other: (0, 5)}, START_MS)
    assert state.sealed_ends() == {PART: 60, other: 5}
    state.migrate(3)
    consume_as_before(state, 70)
    state.migrate()
    assert state.sealed_ends() == {PART: 70, other: 5}
    assert len(state.incidents()) == 1
    state.close()


@pytest.mark.usefixtures("each_database")
def test_there_is_no_way_back_from_shards(tmp_path: Path) -> None:
    state = state_at(tmp_path)
    state.create_schema()
    state.consume([], {PART: (0, 40)}, START_MS, shard="1/2")
    with pytest.raises(StoreError, match="run detection in one process again"):
        state.migrate(3)
    assert state.schema_version() == tables.SCHEMA_VERSION
    assert state.sealed_ends("1/2") == {PART: 40}
    state.close()


@pytest.mark.usefixtures("each_database")
def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_at(tmp_path, 3)
    consume_as_before(state, 40)

    def fail(*arguments: Any, **named: Any) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(op, "drop_table", fail)
        patch.setattr(op, "create_primary_key", fail)
        with pytest.raises(StoreError, match="the disk is full"):
            state.migrate()
    assert state.schema_version() == 3
    consume_as_before(state, 50)
    state.migrate()
    assert state.sealed_ends() == {PART: 50}
    state.close()


@pytest.mark.usefixtures("each_database")
@pytest.mark.parametrize("version", [None, 3])
def test_hosts_that_start_at_once_make_it_once(tmp_path: Path, version: int | None) -> None:
    state_at(tmp_path, version).close()
    states = [state_at(tmp_path, migrate=True) for _ in range(3)]
    failed: list[Exception] = []

    def start(state: StateDatabase) -> None:
        try:
            state.create_schema(upgrade=True)
        except AuditfuseError as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=(state,)) for state in states]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert states[0].schema_version() == tables.SCHEMA_VERSION
    for state in states:
        state.close()


def test_a_servers_tables_are_upgraded_when_asked_for(tmp_path: Path, each_database: str) -> None:
    state_at(tmp_path, 3).close()
    state = state_at(tmp_path)
    with pytest.raises(
        StoreError, match=r"has schema 3; this auditfuse needs schema 4: auditfuse state upgrade"
    ):
        state.create_schema()  # a command that only looks upgrades nothing
    if each_database == "postgresql":
        with pytest.raises(StoreError, match="auditfuse state upgrade"):
            state.create_schema(upgrade=True)
        state = state_at(tmp_path, migrate=True)
    state.create_schema(upgrade=True)
    assert state.schema_version() == tables.SCHEMA_VERSION
    state.close()


@pytest.mark.usefixtures("each_database")
def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    state = state_at(tmp_path)
    state.create_schema()
    state.write(lambda connection: connection.execute(text("UPDATE schema_version SET version = 99")))
    with pytest.raises(
        StoreError, match="has schema 99; this auditfuse knows schema 4 at most; run the version"
    ):
        state.create_schema(upgrade=True)
    with pytest.raises(StoreError, match="schema 99 of the state database is not known"):
        state.migrate()
    state.close()


@pytest.fixture
def config(tmp_path: Path) -> list[str]:
    """A configuration whose state database the first release has made."""
    (tmp_path / "data").mkdir()
    with closing(sqlite3.connect(tmp_path / "data" / "state.db")) as database:
        database.executescript(GOLDEN.read_text())
    path = tmp_path / "auditfuse.toml"
    path.write_text(f'data_dir = "{tmp_path / "data"}"\n')
    return ["--config", str(path), "--json"]


def run(*arguments: str) -> tuple[int, Any]:
    result = RUN.invoke(commands.app, list(arguments))
    if isinstance(result.exception, AuditfuseError):
        raise result.exception
    return result.exit_code, json.loads(result.output)


def test_a_person_looks_upgrades_and_goes_back(config: list[str]) -> None:
    code, shown = run("show", *config)
    assert (code, shown["schema"]) == (1, 3)
    assert shown["remedy"] == "this auditfuse needs schema 4: auditfuse state upgrade"
    code, done = run("upgrade", *config)
    assert (code, done["before"], done["schema"]) == (0, 3, 4)
    code, shown = run("show", *config)
    assert (code, shown["remedy"], shown["shards"]) == (0, None, ["all"])
    assert shown["rows"]["incidents"] == 1
    code, done = run("downgrade", "--to", "3", *config)
    assert (code, done["before"], done["schema"]) == (0, 4, 3)
    with pytest.raises(StoreError, match="schema 2 of the state database is not known"):
        run("downgrade", "--to", "2", *config)


def test_an_sqlite_file_moves_to_a_server(tmp_path: Path, postgres: "PostgresServer") -> None:
    before = open_state(tmp_path)
    [incident_id] = before.consume([found()], {PART: (0, 40)}, START_MS).paged
    url = postgres.schema()
    path = tmp_path / "auditfuse.toml"
    path.write_text(f'data_dir = "{tmp_path}"\n[state]\nurl = "{url}"\n')
    arguments = ("copy", "--from", str(tmp_path / "state.db"), "--config", str(path), "--json")
    assert run(*arguments)[1]["rows"]["incidents"] == 1
    after = StateDatabase(StateConfig(url=SecretStr(url)))
    assert after.sealed_ends() == {PART: 40}
    assert after.incident(incident_id) == before.incident(incident_id)
    # Numbers go on where they were.
    after.consume([found(window=1, severity="critical"), found("another")], {PART: (40, 50)}, START_MS)
    assert len(after.incidents()) == 2
    with pytest.raises(StoreError, match="has been used already"):
        run(*arguments)
    before.close()
    after.close()


def test_a_new_database_begins_at_the_ends_of_the_store(tmp_path: Path) -> None:
    sealed_store(tmp_path / "store", partitions=2)
    path = tmp_path / "auditfuse.toml"
    path.write_text(f'data_dir = "{tmp_path}"\n')
    begin = ("begin", "--config", str(path), "--json")
    assert [one["end"] for one in run(*begin)[1]["consumed"]] == [30, 30]
    assert list(open_state(tmp_path).sealed_ends().values()) == [30, 30]
    with pytest.raises(StoreError, match="has been used already"):
        run(*begin)


def test_only_who_migrates_loads_what_migrates() -> None:
    script = (
        "import sys; from pipeline.cli import build_app; build_app(); import pipeline.respond.state as s; "
    )
    script += "print([name for name in ('alembic', 'mako', 'psycopg') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
