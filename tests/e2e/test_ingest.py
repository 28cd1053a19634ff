"""`auditfuse ingest`: files through the whole pipeline to the end."""

import json
import os
from pathlib import Path

import pytest
from support.long import by_form
from support.running import auditfuse, detectors_alone, write_config

GENERATE = [
    "generate",
    "--agents",
    "2",
    "--rate",
    "120",
    "--minutes",
    "2",
    "--seed",
    "1",
    "--start",
    "1790000000000",
]


def prepare(folder: Path) -> None:
    write_config(folder, redaction={"names": "off"}, worker={"processes": 0})


def count(folder: Path, query: str) -> str:
    return auditfuse("sql", "--format", "csv", query, cwd=folder).stdout.split()[-1]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of two agents; in the second one of them writes far too much."""
    folder = tmp_path_factory.mktemp("generated")
    auditfuse(*GENERATE, "--fault", "write_burst:agent-001@60+60x20", "events.ndjson", cwd=folder)
    return folder / "events.ndjson"


def test_a_file_is_sealed_to_its_last_line_its_fault_is_found_and_a_second_time_counts_nothing(
    tmp_path: Path, generated: Path
) -> None:
    prepare(tmp_path)
    lines = generated.read_text().count("\n")
    for messages in (lines, lines):
        done = auditfuse("ingest", "--json", str(generated), cwd=tmp_path)
        report = json.loads(done.stdout.splitlines()[-1])
        assert (report["messages"], report["rows"], report["dead_letters"]) == (messages, messages, 0)
        assert count(tmp_path, "select count(*) from events") == str(lines)
        burst = "select distinct agent_id from findings where detector = 'write_burst'"
        assert count(tmp_path, burst) == "agent-001"
    auditfuse("verify", cwd=tmp_path)


def test_bad_lines_become_dead_letters_and_the_rest_is_stored(tmp_path: Path, generated: Path) -> None:
    prepare(tmp_path)
    good = generated.read_text().splitlines()[:10]
    (tmp_path / "mixed.ndjson").write_text("\n".join([*good[:5], "{broken", '{"agent_id": 7}', *good[5:]]))
    auditfuse("ingest", "mixed.ndjson", cwd=tmp_path)
    assert count(tmp_path, "select count(*) from events") == "10"
    assert count(tmp_path, "select count(*) from dead_letters") == "2"


@pytest.mark.timeout(240)
def test_what_is_found_does_not_depend_on_how_a_file_was_cut(tmp_path: Path) -> None:
    """Its lines lie in several partitions, of which some end hours before the others; the file's end is told
    to all of them."""
    long_ago = ("--agents", "1", "--rate", "6", "--minutes", "360", "--seed", "2", "--start", "1790000000000")
    fault = ("--fault", "error_spike:agent-001@16200+4800x25")
    auditfuse("generate", *long_ago, *fault, "events.ndjson", cwd=tmp_path)
    found: list[str] = []
    for rows in by_form(short=[100], long=[100, 100_000]):
        folder = tmp_path / str(rows)
        folder.mkdir()
        quick = {"redaction": {"names": "off"}, "worker": {"processes": 0}}
        write_config(folder, detect=detectors_alone("error_spike"), **quick)
        settings = {**os.environ, "AUDITFUSE_STORE__SEAL_MAX_ROWS": str(rows)}
        auditfuse("ingest", "../events.ndjson", cwd=folder, env=settings)
        ids = "select finding_id, summary from findings order by all"
        found.append(auditfuse("sql", "--format", "csv", ids, cwd=folder).stdout)
    assert len(set(found)) == 1
    assert len(found[0].splitlines()) > 1


def test_a_file_that_is_not_there_is_told_before_anything_is_made(tmp_path: Path) -> None:
    done = auditfuse("ingest", "nothing.ndjson", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "nothing.ndjson cannot be read" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_told_without_a_traceback(tmp_path: Path, generated: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "auditfuse-data").mkdir()
    (tmp_path / "auditfuse-data" / "topics").write_text("a file where a folder belongs")
    done = auditfuse("ingest", str(generated), cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "auditfuse-data/topics" in done.stderr
    assert "Not a directory" in done.stderr
