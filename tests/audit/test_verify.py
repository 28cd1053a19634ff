"""Verification of stores that hold: whatever their shape, nothing is found."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from support.audit import TOPIC_ID, claim, dead_letter_row, event_row, event_rows, seal_batches, sealed_store
from support.findings import finding_rows
from support.tamper import faults_by_sql, rewrite_rows, segment_paths
from typer.testing import CliRunner

from pipeline.audit.control import append_rows
from pipeline.audit.gap import accept_gap
from pipeline.audit.store import FINDINGS, Store
from pipeline.audit.verify import VERDICTS, verify_store
from pipeline.audit.writer import new_writer_id
from pipeline.commands.verify import as_text
from pipeline.errors import ConfigError, StoreError


def holds(root: Path) -> None:
    report = verify_store(Store(root))
    assert report.faults == [], [(f.place, f.how) for f in report.faults]
    assert faults_by_sql(root) == []


def test_plain_multi_partition_store_with_dead_letters_and_commands(tmp_path: Path) -> None:
    sealed_store(tmp_path, segments=4, rows=20, partitions=3)
    holds(tmp_path)
    assert verify_store(Store(tmp_path)).rows == 3 * 4 * 20 + 2


def test_several_events_a_message_and_gaps_in_offsets(tmp_path: Path) -> None:
    writer = claim(Store(tmp_path))
    writer.seal([event_row(3), event_row(3, 1), event_row(3, 2), event_row(9)], 12)
    writer.seal([event_row(40)], 60)
    holds(tmp_path)


def test_idle_offsets_and_an_accepted_gap(tmp_path: Path) -> None:
    writer = claim(Store(tmp_path))
    seal_batches(writer, [event_rows(0, 5)])
    writer.idle(8, 1_767_225_600_000)
    writer.seal(event_rows(10, 5), 15)
    holds(tmp_path)


def test_second_writer_after_the_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    seal_batches(claim(store), [event_rows(0, 5), event_rows(5, 5)])
    seal_batches(claim(store), [event_rows(10, 5), [dead_letter_row(15)]])
    holds(tmp_path)


def test_findings_and_incidents(tmp_path: Path) -> None:
    store = sealed_store(tmp_path)
    append_rows(store, FINDINGS, finding_rows(), writer_id=new_writer_id(), now_ms=lambda: 1)
    holds(tmp_path)


def test_text_that_json_escapes(tmp_path: Path) -> None:
    odd = 'a"b\\c\n\t\u2028 é 😀 \\x41 {"not": "json"} \x01'
    row = event_row(0, target=odd, action=odd, scopes=[odd, ""], redactions={"EMAIL_ADDRESS": 2, "PERSON": 1})
    extremes = event_row(1, input_tokens=2**63 - 1, start_time_unix_nano=2**62, http_status=None, scopes=[])
    claim(Store(tmp_path)).seal([row, extremes], 2)
    holds(tmp_path)


def test_processes_side_by_side_find_the_same(tmp_path: Path) -> None:
    sealed_store(tmp_path, segments=6, rows=10)
    report = verify_store(Store(tmp_path), workers=2)
    assert report.holds
    assert report.rows == 62


def test_unpublished_segment_is_a_note(tmp_path: Path) -> None:
    store = sealed_store(tmp_path, segments=2)
    name = store.segment_names(TOPIC_ID, 0)[0]
    stray = tmp_path / "segments" / TOPIC_ID / "0" / name.replace(name[:20], f"{77:020d}", 1)
    stray.write_bytes(b"half a file")
    report = verify_store(Store(tmp_path))
    assert report.holds
    assert [stray.name in note.what for note in report.notes] == [True]


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        verify_store(Store(tmp_path / "nothing"))


def test_report_for_a_person_says_what_became_of_every_verdict(tmp_path: Path) -> None:
    sealed_store(tmp_path)
    lines = as_text(verify_store(Store(tmp_path))).splitlines()
    states = {line[13:].strip().partition(":")[0]: line[:13].strip() for line in lines[1:-1]}
    unchecked = {"checkpoints signed and consistent", "anchored up to"}
    assert {verdict: states[verdict] for verdict in VERDICTS} == {
        verdict: "not checked" if verdict in unchecked else "holds" for verdict in VERDICTS
    }
    assert lines[-1] == "The audit trail holds as far as it was checked."


def test_sql_names_every_typed_column() -> None:
    """A column that the comparison left out could be edited unseen."""
    from pipeline.audit.columns import APPEND_COLUMNS, EVENT_COLUMNS

    sql = Path(__file__, "../../../docs/verify.sql").resolve().read_text()
    assert all(column.name in sql for column in (*EVENT_COLUMNS, *APPEND_COLUMNS))


def test_command_exit_codes_and_json(tmp_path: Path) -> None:
    sealed_store(tmp_path)
    app = _app()
    good = CliRunner().invoke(app, ["--store", str(tmp_path), "--json"])
    assert good.exit_code == 0
    assert '"holds": true' in good.output
    next((tmp_path / "segments" / TOPIC_ID / "0").iterdir()).unlink()
    bad = CliRunner().invoke(app, ["--store", str(tmp_path)])
    assert bad.exit_code == 1
    assert re.search("FAILS +segments linked: 1 fault", bad.output)


def test_compacted_store(tmp_path: Path) -> None:
    """The links of the original segments are found again inside the compacted file."""
    from pipeline.audit.compact import compact_store
    from pipeline.audit.store import StoreConfig

    store = sealed_store(tmp_path, segments=9, rows=5, partitions=2)
    config = StoreConfig(compact_fan_in_files=3, superseded_grace_s=0)
    report = compact_store(store, config, now_ms=lambda: 1_800_000_000_000)
    assert report.made > 0
    holds(tmp_path)
    assert verify_store(Store(tmp_path)).rows == 92
    assert verify_store(Store(tmp_path)).notes == []


def test_files_that_a_compaction_replaces_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log was read, then its segments were merged and deleted: no fault, and no row counted twice."""
    from pipeline.audit import verify as package
    from pipeline.audit.compact import compact_store
    from pipeline.audit.store import StoreConfig

    store = sealed_store(tmp_path, segments=6, rows=5)
    config = StoreConfig(path=tmp_path, compact_fan_in_files=3, superseded_grace_s=0)
    check, made = package.check_segments, list[int]()

    def compacted_first(*arguments: Any) -> Any:
        made.append(compact_store(store, config, now_ms=lambda: 1_800_000_000_000).made)
        return check(*arguments)

    monkeypatch.setattr(package, "check_segments", compacted_first)
    report = verify_store(store)
    assert made[0] > 0
    assert report.faults == []
    assert report.rows == 32


def test_sql_over_a_store_without_any_file(tmp_path: Path) -> None:
    assert faults_by_sql(tmp_path) == []
    claim(Store(tmp_path))
    holds(tmp_path)


def test_gaps_are_told(tmp_path: Path) -> None:
    writer = claim(Store(tmp_path))
    writer.seal([event_row(0), event_row(5)], 9)
    writer.idle(12, 1_767_225_600_000)
    writer.halt("offset 12 is gone", 12)
    accept_gap(Store(tmp_path), TOPIC_ID, 0, to=20, by="anna", reason="retention", now_ms=lambda: 1)
    holds(tmp_path)
    [empty, accepted] = verify_store(Store(tmp_path)).outcome("offsets complete").details
    assert empty.startswith("offsets without rows, which are legitimate: 7 within segments, and 1 runs")
    assert accepted == (
        f"{TOPIC_ID}/0: offsets 12 to 19 were given up by anna at 1970-01-01 00:00:00 UTC: retention"
    )


def test_many_wrong_rows_are_counted_not_all_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.audit.verify.segments.MAX_NAMED_ROWS", 3)
    sealed_store(tmp_path, segments=1, rows=10, commands=0)
    rewrite_rows(segment_paths(tmp_path)[0], lambda columns: columns | {"agent_id": ["x"] * 10})
    faults = verify_store(Store(tmp_path)).faults
    assert {fault.offset for fault in faults} == {0, 1, 2, None}
    assert [fault.how for fault in faults if fault.offset is None] == ["7 more of its rows are at fault"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--since", "yesterday"], "--since 'yesterday' is no time"),
        (["--partition", "agent-events"], "--partition takes a topic id and a number"),
        (["--key", "nothing.pub"], "nothing.pub"),
        (["--anchor", "nothing.note"], "nothing.note"),
    ],
)
def test_options_that_cannot_be_read(arguments: list[str], told: str, tmp_path: Path) -> None:
    sealed_store(tmp_path)
    result = CliRunner().invoke(_app(), ["--store", str(tmp_path), *arguments])
    assert isinstance(result.exception, ConfigError)
    assert told in str(result.exception)


def test_since_by_the_command_line(tmp_path: Path) -> None:
    """Times without an offset are UTC; the report and its last line say that rows were left out."""
    sealed_store(tmp_path)
    options = ["--store", str(tmp_path), "--partition", f"{TOPIC_ID}/0", "--since", "2026-01-01T00:00:00.275"]
    result = CliRunner().invoke(_app(), options)
    assert result.exit_code == 0, result.output
    assert "only the rows since 2026-01-01 00:00:00 UTC and the rows of" in result.output
    assert result.output.splitlines()[-1] == "The audit trail holds as far as it was checked."


def _app() -> typer.Typer:
    from pipeline.commands.verify import verify

    app = typer.Typer()
    app.command()(verify)
    return app
