"""Comments on everything, and macros that answer the usual questions, in auditfuse and in plain DuckDB."""

from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.audit import START_MS, TOPIC_ID, claim, command_row, event_row, sealed_store
from support.findings import finding_rows

from pipeline.audit.catalog import Catalog
from pipeline.audit.control import AppendRow, append_rows
from pipeline.audit.query import open_catalog
from pipeline.audit.store import CONTROL, FINDINGS, Store
from pipeline.audit.views.macros import MACROS
from pipeline.audit.views.template import fingerprint
from pipeline.audit.writer import new_writer_id
from schemas.erasure import Erasure, Hold, Scope
from schemas.finding import SilenceRow

MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Ten events of two agents, a minute apart, a trip between them, a finding and an incident."""
    store = Store(tmp_path_factory.mktemp("views") / "store")
    rows = [
        event_row(
            i,
            start_time_unix_nano=(START_MS + i * MINUTE_MS) * 1_000_000,
            agent_id="invoice-agent" if i % 2 else "mail-agent",
            target=f"erp://ledger/{i % 2}",
            outcome="error" if i in (3, 4) else "ok",
            error_type="Timeout" if i in (3, 4) else None,
            end_user="<EMAIL_ADDRESS:k1.0000000000000001>" if i == 5 else None,
            approval_id="a" if i == 7 else None,
        )
        for i in range(10)
    ]
    claim(store).seal(rows, 10)
    append(store, CONTROL, [command_row("trip-1", at_ms=START_MS + 5 * MINUTE_MS)])
    append(store, FINDINGS, finding_rows())
    return store


def append(store: Store, topic_id: str, rows: list[AppendRow]) -> None:
    append_rows(store, topic_id, rows, writer_id=new_writer_id(), now_ms=lambda: START_MS)


@pytest.fixture(scope="module")
def catalog(store: Store) -> Path:
    path = Catalog(store).refresh(at_once=True)
    assert path
    return path


def ask(path: Path, query: str, *settings: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        for setting in settings:
            connection.execute(setting)
        return connection.execute(query).fetchall()


def test_nothing_is_without_a_comment(catalog: Path) -> None:
    for function, name in (
        ("duckdb_views", "view_name"),
        ("duckdb_tables", "table_name"),
        ("duckdb_columns", "table_name || '.' || column_name"),
        ("duckdb_functions", "function_name"),
    ):
        missing = ask(catalog, f"SELECT {name} FROM {function}() WHERE NOT internal AND comment IS NULL")
        assert not missing, function
    assert ask(catalog, "SELECT count(*) FROM duckdb_columns() WHERE NOT internal") > [(250,)]


@pytest.mark.parametrize("macro", MACROS, ids=lambda macro: macro.name)
def test_every_example_runs_in_auditfuse_and_in_plain_duckdb(macro: Any, store: Store, catalog: Path) -> None:
    plain = ask(catalog, macro.example)
    with open_catalog(store) as opened:
        [result] = [result.fetchall() for result in opened.run(macro.example)]
    assert len(result) == len(plain)


def test_trace_and_session_in_order(catalog: Path) -> None:
    assert ask(catalog, f"SELECT span_id FROM trace('{1:032x}')") == [
        (f"{i * 8 + 1:016x}",) for i in range(10)
    ]
    assert ask(catalog, f"SELECT count(*), count(input) FROM session('conv_{0:024d}')") == [(10, 10)]


def test_agent_timeline_has_events_findings_and_commands_of_one_agent(catalog: Path) -> None:
    rows = ask(catalog, "SELECT entry, what FROM agent_timeline('invoice-agent') WHERE entry <> 'event'")
    assert ("command", "trip") in rows
    assert ("finding", "write_burst") in rows
    told = ask(catalog, "SELECT happened_at FROM agent_timeline('invoice-agent')")
    assert told == sorted(told)
    assert ask(catalog, "SELECT count(*) FROM agent_timeline('mail-agent') WHERE entry = 'event'") == [(5,)]
    assert ask(catalog, "FROM agent_timeline('mail-agent') WHERE entry = 'command'") == []


def test_resets_are_on_the_timeline_of_the_agent_whose_trip_they_lift(tmp_path: Path) -> None:
    from schemas.command import Command

    store = Store(tmp_path / "store")
    reset = {"at_ms": START_MS, "by": "bo", "automatic": False, "reason": "fixed"}
    request = Command(id="request-1", command="reset_request", trips=["trip-1"], **reset)
    approval = Command(id="approval-1", command="reset_approval", request_id="request-1", **reset)
    append(store, CONTROL, [command_row("trip-1"), command_row("trip-2", agent="other")])
    append(store, CONTROL, [AppendRow.of(request), AppendRow.of(approval)])
    path = Catalog(store).refresh(at_once=True)
    assert path
    of_one = ask(path, "SELECT id FROM agent_timeline('invoice-agent') ORDER BY id")
    assert of_one == [("approval-1",), ("request-1",), ("trip-1",)]
    assert ask(path, "SELECT id FROM agent_timeline('other')") == [("trip-2",)]


def test_who_touched(catalog: Path) -> None:
    columns = "agent_id, times, failed"
    assert ask(catalog, f"SELECT {columns} FROM who_touched('erp://ledger/1')") == [("invoice-agent", 5, 1)]
    assert len(ask(catalog, "FROM who_touched('erp://ledger/%')")) == 2
    assert ask(catalog, "FROM who_touched('erp://ledger')") == []


def test_the_other_questions(catalog: Path) -> None:
    assert ask(catalog, "SELECT agent_id, failed, most_frequent_error FROM errors_by_agent()") == [
        ("invoice-agent", 1, "Timeout"),
        ("mail-agent", 1, "Timeout"),
    ]
    assert ask(catalog, "SELECT action, calls, failed, p95_ms FROM top_tools()") == [
        ("update_invoice", 10, 2, 250.0)
    ]
    assert ask(catalog, "SELECT sum(times) FROM unapproved_writes()") == [(7,)]
    assert ask(catalog, "SELECT trace_id FROM done_for('<EMAIL_ADDRESS:k1.0000000000000001>')") == [
        (f"{1:032x}",)
    ]
    history = ask(catalog, "SELECT entry, what, changed_by FROM incident_history('incident-1')")
    assert ("incident", "acknowledged", "on-call") in history
    assert ("finding", "write_burst", "auditfuse") in history


@pytest.mark.parametrize(
    "bounds",
    [
        "'2026-01-01 00:02', '2026-01-01 00:05'",
        "since := '2026-01-01T00:02:00Z', until := '2026-01-01 01:05:00+01'",
        "'2025-12-31 19:02:00-05'::timestamptz, timestamp '2026-01-01 00:05:00'",
        "make_timestamp(2026, 1, 1, 0, 2, 0), make_timestamptz(2026, 1, 1, 0, 5, 0, 'UTC')",
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_bounds_mean_the_same_moment_however_they_are_written(bounds: str, zone: str, catalog: Path) -> None:
    query = f"SELECT sum(events) FROM errors_by_agent({bounds})"
    assert ask(catalog, query, f"SET TimeZone = '{zone}'") == [(3,)]


def test_ago_is_utc_in_every_zone(catalog: Path) -> None:
    query = "SELECT abs(epoch(ago('1 hour')) + 3600 - epoch(now())) < 5"
    assert ask(catalog, query, "SET TimeZone = 'Asia/Tokyo'") == [(True,)]


def test_in_a_database_of_ones_own(catalog: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{catalog}' AS trail (READ_ONLY)")
        assert connection.execute("SELECT count(*) FROM trail.events").fetchall() == [(10,)]
        connection.execute("USE trail")
        assert connection.execute("SELECT count(*) FROM top_tools()").fetchall() == [(1,)]


def test_erasures_and_holds(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    common = {
        "erasure": "e1",
        "by": "dpo",
        "reason": "request 7",
        "what": "row",
        "predicate_sha256": "11",
    }
    intent = Erasure(id="e1:intent", phase="intent", at_ms=START_MS, **common)
    done = Erasure(
        id="e1:completion",
        phase="completion",
        at_ms=START_MS + 1000,
        rows=3,
        held_rows=1,
        out_of_reach=["backups"],
        **common,
    )
    open_one = Erasure(id="e2:intent", phase="intent", at_ms=START_MS, **(common | {"erasure": "e2"}))
    placed = Hold(
        id="h1:place",
        hold="h1",
        phase="place",
        at_ms=START_MS,
        by="legal",
        reason="case 9",
        scope=Scope(agent="a"),
    )
    lifted = Hold(id="h1:lift", hold="h1", phase="lift", at_ms=START_MS + 1000, by="legal", reason="over")
    append(store, CONTROL, [AppendRow.of(one) for one in (intent, open_one, done, placed, lifted)])
    path = Catalog(store).refresh(at_once=True)
    assert path
    columns = "erasure_id, ordered_by, reason, what, completed_at IS NOT NULL, rows, held, out_of_reach"
    assert ask(path, f"SELECT {columns} FROM erasures ORDER BY erasure_id") == [
        ("e1", "dpo", "request 7", "row", True, 3, 1, ["backups"]),
        ("e2", "dpo", "request 7", "row", False, None, None, None),
    ]
    columns = (
        "hold_id, placed_by, reason, scope->>'agent', epoch_ms(lifted_at) - epoch_ms(placed_at), lift_reason"
    )
    assert ask(path, f"SELECT {columns} FROM holds") == [("h1", "legal", "case 9", "a", 1000, "over")]


def test_another_version_of_the_views_is_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = sealed_store(tmp_path / "store")
    first = Catalog(store).refresh(at_once=True)
    assert Catalog(store).refresh(at_once=True) == first
    monkeypatch.setattr("pipeline.audit.catalog.fingerprint", lambda: fingerprint() + "2")
    assert Catalog(store).is_stale()
    assert Catalog(store).refresh(at_once=True) != first


def test_topic_id_is_that_of_the_rows(catalog: Path) -> None:
    assert ask(catalog, "SELECT DISTINCT topic_id FROM events") == [(TOPIC_ID,)]


def test_silences(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    common = {
        "silence_id": "sil_1",
        "environment": "prod*",
        "agent_id": "a",
        "detector": "*",
        "until_ms": START_MS + 7_200_000,
        "holds_trips": False,
    }
    placed = SilenceRow(
        id="sil_1/placed", phase="placed", at_ms=START_MS, by="maria", reason="month end", **common
    )
    ended = SilenceRow(
        id="sil_1/ended", phase="ended", at_ms=START_MS + 1000, by="ana", reason="over", **common
    )
    append(store, FINDINGS, [AppendRow.of(one) for one in (placed, ended)])
    path = Catalog(store).refresh(at_once=True)
    assert path
    columns = "placed_by, reason, environment, agent_id, detector, ended_by, end_reason, holds_trips"
    lasting = "epoch_ms(until) - epoch_ms(placed_at), epoch_ms(ended_at) - epoch_ms(placed_at)"
    assert ask(path, f"SELECT {columns}, {lasting} FROM silences") == [
        ("maria", "month end", "prod*", "a", "*", "ana", "over", False, 7_200_000, 1000)
    ]
