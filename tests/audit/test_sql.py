"""`auditfuse sql`: what it prints, and that it can neither write nor read anything else."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from support.audit import sealed_store
from typer.testing import CliRunner, Result

from pipeline.audit.query import Query, QueryError, open_catalog
from pipeline.audit.store import Store
from pipeline.commands.catalog import catalog
from pipeline.commands.sql import sql


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sql") / "the store's"
    sealed_store(root)
    return root


@pytest.fixture(scope="module")
def opened(store: Path) -> Iterator[Query]:
    with open_catalog(Store(store)) as query:
        yield query


def run(store: Path, *arguments: str, stdin: str | None = None) -> Result:
    app = typer.Typer()
    app.command()(sql)
    return CliRunner().invoke(app, ["--store", str(store), *arguments], input=stdin)


def test_table(store: Path) -> None:
    result = run(store, "select count(*) as n, 'a' as b from events")
    assert result.output.splitlines() == ["n   b", "29  a"]


def test_csv(store: Path) -> None:
    result = run(store, "--format", "csv", "select 'a,b' x, null y, [1,2] z, '\\xAB'::blob w")
    assert result.output.splitlines() == ["x,y,z,w", '"a,b",,"[1, 2]",ab']


def test_json(store: Path) -> None:
    query = 'select "offset", agent_id, scopes, redactions, broker_time from events order by 1 limit 2'
    rows = json.loads(run(store, "--format", "json", query).output)
    assert rows[0] == {
        "offset": 0,
        "agent_id": "invoice-agent",
        "scopes": ["invoices:read", "invoices:write"],
        "redactions": {"EMAIL_ADDRESS": 1},
        "broker_time": "2026-01-01 00:00:00",
    }
    assert json.loads(run(store, "--format", "json", "from events where false").output) == []


def test_standard_input_with_several_statements(store: Path) -> None:
    count = "select count(*) from events where agent_id = getvariable('a');"
    result = run(store, stdin=f"set variable a = 'invoice-agent'; {count}")
    assert result.output.splitlines()[-1] == "29"


def test_control_characters_cannot_steer_the_terminal(store: Path) -> None:
    assert "\x1b" not in run(store, "select chr(27) || '[31m' as x").output


def test_an_error_is_one_message(store: Path) -> None:
    result = run(store, "select nothing from events")
    assert isinstance(result.exception, QueryError)
    assert result.exception.exit_code == 2
    assert "nothing" in str(result.exception)


READS = [
    "select 1",
    "  -- why\n select 1",
    "/* a */ from events",
    "with a as (select 1) from a",
    "(select 1) union all (select 2)",
    "describe events",
    "show tables",
    "summarize segments",
    "explain select 1",
    "explain analyze select count(*) from events",
    "create temp table mine as from events; select count(*) from mine",
    "create temp macro twice(x) as 2 * x; select twice(2)",
    "pivot events on outcome using count(*)",
    "pragma table_info('events')",
    "values (1)",
]


@pytest.mark.parametrize("query", READS)
def test_may_run(query: str, opened: Query) -> None:
    assert [result.fetchall() for result in opened.run(query)]


REFUSED = [
    "copy (select 1) to '{segment}'",
    "copy (select 1) to '{segment}' (use_tmp_file false)",
    "explain analyze copy (select 1) to '{segment}' (use_tmp_file false)",
    "explain (analyze) copy (select 1) to '{segment}' (use_tmp_file false)",
    "explain /* a */ analyze copy (select 1) to '{segment}' (use_tmp_file false)",
    "/* select */ copy (select 1) to '{segment}' (use_tmp_file false)",
    "copy (pivot events on outcome using count(*)) to '{segment}' (use_tmp_file false)",
    "prepare p as copy (select 1) to '{segment}' (use_tmp_file false)",
    "select 1; copy (select 1) to '{segment}' (use_tmp_file false)",
    "create temp macro m() as table copy (select 1) to '{segment}'",
    "export database '{directory}'",
    "attach '{directory}/x.duckdb'",
    "create table t as select 1",
    "create view v as select 1",
    "drop view events",
    "insert into live_segments select * from live_segments",
    "delete from repeats",
    "update live_segments set rows = 0",
    "select * from read_text('/etc/hostname')",
    "select * from read_csv('/etc/passwd')",
    "select * from glob('/etc/*')",
    "from '{directory}/secret.csv'",
    "set enable_external_access = true",
    "set lock_configuration = false",
    "reset allowed_paths",
    "install httpfs",
    "load httpfs",
    "call pragma_version()",
    "vacuum",
    "checkpoint",
]


@pytest.mark.parametrize("query", REFUSED)
def test_may_not_run(query: str, opened: Query, store: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    segment = next(store.glob("segments/agent*/0/*.parquet"))
    before = {path: path.read_bytes() for path in sorted(store.rglob("*.parquet"))}
    text = query.format(segment=str(segment).replace("'", "''"), directory=tmp_path)
    with pytest.raises(QueryError):
        for result in opened.run(text):
            result.fetchall()
    assert {path: path.read_bytes() for path in sorted(store.rglob("*.parquet"))} == before
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


def test_local_variables_are_not_tables(opened: Query) -> None:
    import polars as pl

    secret = pl.DataFrame({"a": [1]})
    with pytest.raises(QueryError):
        next(opened.run("from secret"))
    assert secret.height == 1


def test_catalog_command(store: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(catalog)
    printed = CliRunner().invoke(app, ["--store", str(store)]).output.strip()
    assert Path(printed).is_file()
    copied = CliRunner().invoke(app, ["--store", str(store), "--copy", str(tmp_path / "c.duckdb")])
    assert copied.exit_code == 0
    assert (tmp_path / "c.duckdb").is_file()
