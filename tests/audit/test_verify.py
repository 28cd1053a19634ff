"""Verification of stores that hold: whatever their shape, nothing is found."""

from pathlib import Path

import pytest
from support.audit import TOPIC_ID, claim, dead_letter_row, event_row, event_rows, seal_batches, sealed_store
from support.findings import finding_rows
from support.tamper import faults_by_sql
from typer.testing import CliRunner

from pipeline.audit.control import append_rows
from pipeline.audit.store import FINDINGS, Store
from pipeline.audit.verify import verify_store
from pipeline.audit.verify.typed import mismatch_sql
from pipeline.audit.writer import new_writer_id
from pipeline.commands.verify import as_text
from pipeline.errors import StoreError


def holds(root: Path) -> None:
    report = verify_store(root)
    assert report.faults == [], [(f.place, f.how) for f in report.faults]
    assert faults_by_sql(root) == []


def test_plain_multi_partition_store_with_dead_letters_and_commands(tmp_path: Path) -> None:
    sealed_store(tmp_path, segments=4, rows=20, partitions=3)
    holds(tmp_path)
    assert verify_store(tmp_path).rows == 3 * 4 * 20 + 2


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
    report = verify_store(tmp_path, workers=2)
    assert report.holds
    assert report.rows == 62


def test_unpublished_segment_is_a_note(tmp_path: Path) -> None:
    store = sealed_store(tmp_path, segments=2)
    name = store.segment_names(TOPIC_ID, 0)[0]
    stray = tmp_path / "segments" / TOPIC_ID / "0" / name.replace(name[:20], f"{77:020d}", 1)
    stray.write_bytes(b"half a file")
    report = verify_store(tmp_path)
    assert report.holds
    assert [stray.name in note.what for note in report.notes] == [True]


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        verify_store(tmp_path / "nothing")


def test_report_for_a_person_names_every_verdict(tmp_path: Path) -> None:
    sealed_store(tmp_path)
    text = as_text(verify_store(tmp_path))
    for verdict in (
        "rows intact",
        "columns match the records",
        "segments linked",
        "log linked",
        "offsets complete",
    ):
        assert f"holds  {verdict}" in text


def test_every_typed_column_is_compared() -> None:
    """A column that the comparison left out could be edited unseen."""
    from pipeline.audit.columns import APPEND_COLUMNS, EVENT_COLUMNS

    sql = Path(__file__, "../../../docs/verify.sql").resolve().read_text()
    for topic_id, columns in ((TOPIC_ID, EVENT_COLUMNS), ("_control", APPEND_COLUMNS)):
        predicate = mismatch_sql(topic_id)
        assert all(f'"{column.name}"' in predicate for column in columns)
    assert all(column.name in sql for column in (*EVENT_COLUMNS, *APPEND_COLUMNS))


def test_command_exit_codes_and_json(tmp_path: Path) -> None:
    import typer

    from pipeline.commands.verify import verify

    app = typer.Typer()
    app.command()(verify)
    sealed_store(tmp_path)
    good = CliRunner().invoke(app, ["--store", str(tmp_path), "--json"])
    assert good.exit_code == 0
    assert '"holds": true' in good.output
    next((tmp_path / "segments" / TOPIC_ID / "0").iterdir()).unlink()
    bad = CliRunner().invoke(app, ["--store", str(tmp_path)])
    assert bad.exit_code == 1
    assert "FAILS  segments linked: 1 fault" in bad.output


def test_compacted_store(tmp_path: Path) -> None:
    """The links of the original segments are found again inside the compacted file."""
    from pipeline.audit.compact import compact_store
    from pipeline.audit.store import StoreConfig

    store = sealed_store(tmp_path, segments=9, rows=5, partitions=2)
    config = StoreConfig(compact_fan_in_files=3, superseded_grace_s=0)
    report = compact_store(store, config, now_ms=lambda: 1_800_000_000_000)
    assert report.made > 0
    holds(tmp_path)
    assert verify_store(tmp_path).rows == 92
    assert verify_store(tmp_path).notes == []
