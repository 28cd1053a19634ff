"""The readers' copy: all but the payloads, for a group of its own, and never more than the store shows."""

import grp
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.audit import START_MS, claim, command_row, event_row, event_rows, seal_batches, sealed_store
from support.docs import ROOT, fences
from support.running import write_config

from pipeline.audit.catalog import Catalog
from pipeline.audit.compact import compact_store
from pipeline.audit.readers.config import ReadersConfig
from pipeline.audit.readers.trail import TRAIL, ReadersRunner, ReadersTrail
from pipeline.audit.store import Store, StoreConfig
from pipeline.config import load_config
from pipeline.errors import ConfigError, StoreError

GROUP = next(group for group in grp.getgrall() if group.gr_gid != 0)
STRANGER_UID, STRANGER_GID = 54_321, 54_322
as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="giving files to a group and becoming another user needs root"
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "readers"


def trail_of(store: Path, copy: Path, **options: Any) -> ReadersTrail:
    return ReadersTrail(Store(store), ReadersConfig(path=copy), **{"grace_s": 900, **options})


def refreshed(store: Path, copy: Path, **options: Any) -> Path:
    Catalog(Store(store)).refresh(at_once=True)
    return trail_of(store, copy, **options).refresh()


def ask(path: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).fetchall()


def copies(copy: Path) -> set[str]:
    return {path.name for path in copy.rglob("*.parquet")}


def test_shows_everything_but_payloads(tmp_path: Path, copy: Path) -> None:
    sealed_store(tmp_path / "store")
    path = refreshed(tmp_path / "store", copy)
    [store_catalog] = (tmp_path / "store" / "catalog").glob("catalog-*.duckdb")
    for query in (
        'SELECT * EXCLUDE (input, output, attributes) FROM events ORDER BY "offset", item',
        "FROM killswitch ORDER BY id",
        "SELECT * EXCLUDE (path) FROM segments ORDER BY name",
        "FROM dead_letters",
        "FROM errors_by_agent()",
        "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal ORDER BY ALL",
    ):
        assert ask(path, query) == ask(store_catalog, query), query
    assert ask(path, "SELECT count(*), count(payload), count(salt_p), count(cp) FROM all_rows") == [
        (30, 0, 0, 30)
    ]
    assert ask(path, "SELECT count(*), count(input), count(attributes) FROM events") == [(29, 0, 0)]
    assert ask(store_catalog, "SELECT count(input) FROM events") == [(29,)]


def test_no_byte_of_a_payload_is_in_the_copy(tmp_path: Path, copy: Path) -> None:
    writer = claim(Store(tmp_path / "store"))
    writer.seal([event_row(0, payload_bytes=3)], 1)
    [stored] = (tmp_path / "store").rglob("*.parquet")
    row = pq.read_table(stored, columns=["payload", "salt_p"]).to_pylist()[0]
    refreshed(tmp_path / "store", copy)
    for path in (path for path in copy.rglob("*") if path.is_file()):
        assert b"paid" not in path.read_bytes()
        assert row["salt_p"] not in path.read_bytes(), "the commitment could be tried out with it"
    [copied] = copy.rglob("*.parquet")
    told = pq.read_table(copied).to_pylist()[0]
    assert told["cp"] == sha256(row["salt_p"] + row["payload"].encode()).digest()


def row_check() -> list[str]:
    """The statements by which docs/queries.md recomputes the rows."""
    [fence] = [one for one in fences() if one.page == "docs/queries.md" and "IS DISTINCT FROM h" in one.text]
    return [statement for statement in fence.text.split(";") if statement.strip()]


def broken_rows(path: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return [
            row
            for statement in row_check()
            for row in connection.execute(statement).fetchall()
            if len(row) > 1
        ]


def footer(path: Path) -> dict[bytes, bytes]:
    metadata = pq.read_metadata(path).metadata
    return {key: value for key, value in metadata.items() if key.startswith(b"auditfuse.")}


def test_readers_can_verify_the_rows(tmp_path: Path, copy: Path) -> None:
    store = sealed_store(tmp_path / "store", segments=6)
    compact_store(store, StoreConfig(compact_fan_in_files=3), now_ms=lambda: START_MS)
    path = refreshed(tmp_path / "store", copy)
    assert broken_rows(path) == []
    for original in (tmp_path / "store").glob("segments/agent*/0/*-compact-*.parquet"):
        [copied] = copy.rglob(original.name)
        assert footer(copied) == footer(original)
        table = pq.read_table(copied)
        forged = [text.replace('"status":"ok"', '"status":"no"') for text in table.column("meta").to_pylist()]
        copied.chmod(0o600)
        position = table.schema.get_field_index("meta")
        pq.write_table(table.set_column(position, "meta", pa.array(forged)), copied)
    assert len(broken_rows(path)) == ask(path, "SELECT count(*) FROM all_rows WHERE kind = 'event'")[0][0]


def test_only_what_is_new_is_copied_and_what_was_replaced_goes_after_its_grace(
    tmp_path: Path, copy: Path
) -> None:
    store, now_ms = Store(tmp_path / "store"), START_MS
    writer = claim(store)
    seal_batches(writer, [[event_row(i)] for i in range(3)])
    path = refreshed(tmp_path / "store", copy)
    first = {path: path.stat().st_ino for path in copy.rglob("*.parquet")}
    assert len(first) == 3
    compact_store(store, StoreConfig(compact_fan_in_files=3), now_ms=lambda: START_MS)
    seal_batches(writer, [[event_row(3)]])
    trail = trail_of(tmp_path / "store", copy, grace_s=60, now_ms=lambda: now_ms)
    old = duckdb.connect(str(path), read_only=True)
    Catalog(store).refresh(at_once=True)
    trail.refresh()
    assert {path: path.stat().st_ino for path in first} == first
    assert old.execute("SELECT count(*) FROM events").fetchall() == [(3,)], "who has it open goes on"
    old.close()
    assert ask(path, "SELECT count(*) FROM events") == [(4,)]
    now_ms += 59_999
    trail.refresh()
    assert len(copies(copy)) == 5
    now_ms += 1
    trail.refresh()
    assert copies(copy) == {name for (name,) in ask(path, "SELECT name FROM segments")}


def test_forgets_at_once_what_was_erased(tmp_path: Path, copy: Path) -> None:
    store = Store(tmp_path / "store")
    seal_batches(claim(store), [[event_row(i)] for i in range(3)])
    refreshed(tmp_path / "store", copy)
    replaced = [
        (*identity, name) for identity in store.partitions() for name in store.segment_names(*identity)
    ]
    compact_store(store, StoreConfig(compact_fan_in_files=3), now_ms=lambda: START_MS)
    Catalog(store).refresh(at_once=True)
    trail_of(tmp_path / "store", copy).forget(replaced)
    assert len(copies(copy)) == 1
    assert ask(copy / TRAIL, "SELECT count(*) FROM events") == [(3,)]


def test_what_a_kill_left_half_written_is_nothing(tmp_path: Path, copy: Path) -> None:
    sealed_store(tmp_path / "store")
    refreshed(tmp_path / "store", copy)
    [some, *_] = copy.rglob("*.parquet")
    half = some.with_name(".building-0123456789abcdef")
    half.write_bytes(b"half")
    some.unlink()
    (copy / ".progress.json").unlink()
    path = refreshed(tmp_path / "store", copy)
    assert not half.exists()
    assert ask(path, "SELECT count(*) FROM events") == [(29,)]


def test_the_umask_takes_nothing_from_the_group(tmp_path: Path, copy: Path) -> None:
    sealed_store(tmp_path / "store")
    before = os.umask(0o077)
    try:
        path = refreshed(tmp_path / "store", copy)
    finally:
        os.umask(before)
    assert {one.stat().st_mode & 0o777 for one in [path, *copy.rglob("*.parquet")]} == {0o440}
    assert {one.stat().st_mode & 0o777 for one in [copy, *copy.rglob("*/")]} == {0o750}


def test_a_directory_is_the_copy_of_one_store(tmp_path: Path, copy: Path) -> None:
    for name in ("one", "two"):
        sealed_store(tmp_path / name)
    refreshed(tmp_path / "one", copy)
    with pytest.raises(StoreError, match="another store"):
        refreshed(tmp_path / "two", copy)


def test_configuration_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "auditfuse.toml").write_text('[store]\npath = "store"\n[readers]\npath = "store/readers"\n')
    with pytest.raises(ConfigError, match="overlap"):
        load_config()
    with pytest.raises(ConfigError, match="no group 'nobody-has-this-group'"):
        ReadersTrail(Store(tmp_path), ReadersConfig(path=tmp_path, group="nobody-has-this-group"), grace_s=0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can walk through, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="auditfuse-readers-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_user(uid: int, gid: int, folder: Path) -> dict[str, Any]:
    segment = next((folder / "store").glob("segments/agent*/0/*.parquet"))
    [catalog] = (folder / "store" / "catalog").glob("catalog-*.duckdb")
    task = {
        "uid": uid,
        "gid": gid,
        "trail": str(folder / "readers" / TRAIL),
        "closed": [str(segment), str(catalog), str(folder / "store")],
        "arguments": [
            "--config",
            str(folder / "auditfuse.toml"),
            "select count(*) n, count(input) i from events",
        ],
    }
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "support" / "other_user.py", json.dumps(task)],
        capture_output=True, text=True, check=True, cwd=folder,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert told["uid"] == uid
    return told


@as_root
def test_another_user_of_the_group_sees_all_but_payloads_and_a_stranger_nothing(open_folder: Path) -> None:
    store = sealed_store(open_folder / "store")
    sections = {
        "store": {"path": f"{open_folder}/store"},
        "readers": {"path": f"{open_folder}/readers", "group": GROUP.gr_name},
    }
    write_config(open_folder, **sections)
    Catalog(store).refresh(at_once=True)
    loaded = load_config(open_folder / "auditfuse.toml")
    trail = ReadersTrail.of(store, loaded.readers, loaded.store)
    assert trail
    trail.refresh()

    reader = as_user(STRANGER_UID, GROUP.gr_gid, open_folder)
    assert reader["events"] == [29, 0, 0, 0]
    assert reader["stored"] == [0, 0]
    assert reader["tools"] == [1]
    assert set(reader["closed"].values()) == {"PermissionError"}
    assert reader["stdout"].split() == ["n", "i", "29", "0"], reader["failed"]
    assert "readers' copy" in reader["stderr"]

    stranger = as_user(STRANGER_UID, STRANGER_GID, open_folder)
    assert stranger["error"] == "IOException"
    assert "StoreError" in stranger["failed"]
    assert set(stranger["closed"].values()) == {"PermissionError"}


def test_rows_of_control_are_copied_too(tmp_path: Path, copy: Path) -> None:
    from pipeline.audit.control import append_rows
    from pipeline.audit.store import CONTROL
    from pipeline.audit.writer import new_writer_id

    store = Store(tmp_path / "store")
    claim(store).seal(event_rows(0, 2), 2)
    append_rows(store, CONTROL, [command_row("trip-1")], writer_id=new_writer_id(), now_ms=lambda: START_MS)
    path = refreshed(tmp_path / "store", copy)
    assert ask(path, "SELECT id, reason FROM killswitch") == [("trip-1", "write burst")]
    assert ask(path, "SELECT count(*) FROM agent_timeline('invoice-agent')") == [(3,)]


def test_runner_copies_a_last_time_when_stopped(tmp_path: Path, copy: Path) -> None:
    store = sealed_store(tmp_path / "store")
    runner = ReadersRunner(trail_of(tmp_path / "store", copy), interval_s=3600)
    runner.start()
    Catalog(store).refresh(at_once=True)
    runner.stop()
    assert ask(copy / TRAIL, "SELECT count(*) FROM events") == [(29,)]


def test_catalog_command_brings_the_copy_up_to_date_and_sql_reads_it(tmp_path: Path, copy: Path) -> None:
    import typer
    from typer.testing import CliRunner

    from pipeline.commands.catalog import catalog
    from pipeline.commands.sql import sql

    sealed_store(tmp_path / "store")
    config = write_config(tmp_path, store={"path": f"{tmp_path}/store"}, readers={"path": str(copy)})
    app = typer.Typer()
    app.command()(catalog)
    app.command()(sql)
    assert CliRunner().invoke(app, ["catalog", "--config", str(config)]).exit_code == 0
    query = "select count(*) as n, count(input) as i from events"
    result = CliRunner().invoke(app, ["sql", "--catalog", str(copy / TRAIL), query])
    assert result.output.split() == ["n", "i", "29", "0"]
    for wrong in (str(tmp_path / "nothing.duckdb"), str(config)):
        failed = CliRunner().invoke(app, ["sql", "--catalog", wrong, query])
        assert isinstance(failed.exception, StoreError)
        assert Path(wrong).name in str(failed.exception)
