"""`auditfuse gap` and `auditfuse compact` as a person uses them."""

import json
from pathlib import Path

import pytest
import typer
from support.audit import TOPIC_ID, claim, event_rows, seal_batches
from typer.testing import CliRunner, Result

from pipeline.audit.log import PartitionLog
from pipeline.audit.store import Store
from pipeline.commands import compact, gap
from pipeline.errors import ConfigError

app = typer.Typer()
app.add_typer(gap.app, name="gap")
app.command("compact")(compact.compact)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    # What becomes of reasons is tested beside the kill switch; the patterns take seconds to load.
    monkeypatch.setenv("AUDITFUSE_REDACTION__ENABLED", "false")
    return Store(tmp_path / "store")


def run(store: Store, *arguments: str) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--store", str(store.cache_dir)], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def halted(store: Store) -> None:
    writer = claim(store)
    seal_batches(writer, [event_rows(0, 3)])
    writer.halt("offset 3 is not held", 3)


def test_a_gap_is_listed_and_accepted(store: Store) -> None:
    halted(store)
    listed = json.loads(run(store, "gap", "list", "--json").stdout)
    assert listed == [{"topic_id": TOPIC_ID, "partition": 0, "end": 3, "halted": "offset 3 is not held"}]
    decision = ("--to", "40", "--reason", "retention", "--by", "ana")
    result = run(store, "gap", "accept", "agent-events", "0", *decision, "--json")
    assert json.loads(result.stdout) == {"topic_id": TOPIC_ID, "partition": 0, "end": 40}
    (entry,) = (one for one in PartitionLog(store, TOPIC_ID, 0).entries_after(-1) if one.kind == "gap")
    assert (entry.end, entry.by, entry.reason) == (40, "ana", "retention")
    assert "No partition is halted" in run(store, "gap", "list").stdout


def test_a_halted_partition_is_resumed_where_it_stopped(store: Store) -> None:
    halted(store)
    result = run(store, "gap", "resume", TOPIC_ID, "0", "--reason", "disk is back", "--by", "ana")
    assert "goes on at offset 3" in result.stdout
    assert PartitionLog.open(store, TOPIC_ID, 0).state.halted is None


def test_what_is_not_halted_or_not_there_is_refused(store: Store) -> None:
    seal_batches(claim(store), [event_rows(0, 3)])
    with pytest.raises(ConfigError, match="is not halted"):
        run(store, "gap", "resume", "agent-events", "0", "--reason", "r")
    with pytest.raises(ConfigError, match="no single topic id for 'other'"):
        run(store, "gap", "resume", "other", "0", "--reason", "r")


def test_a_reason_must_be_given(store: Store) -> None:
    halted(store)
    assert run(store, "gap", "accept", "agent-events", "0", "--to", "9").exit_code == 2


def test_compact_reports_what_it_did(store: Store) -> None:
    seal_batches(claim(store), [event_rows(i, 1) for i in range(16)])
    report = json.loads(run(store, "compact", "--json").stdout)
    assert report == {"merged": 16, "made": 1, "deleted": 0, "bundled": 0}
    assert "Merged 0 segments" in run(store, "compact").stdout
