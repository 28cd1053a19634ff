"""`auditfuse ingest`: files through the whole pipeline to the end."""

import json
from pathlib import Path

from support.running import auditfuse, write_config

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


def test_a_file_is_sealed_to_its_last_line_and_its_fault_is_found(tmp_path: Path) -> None:
    prepare(tmp_path)
    auditfuse(*GENERATE, "--fault", "write_burst:agent-001@60+60x20", "events.ndjson", cwd=tmp_path)
    lines = (tmp_path / "events.ndjson").read_text().count("\n")
    report = json.loads(auditfuse("ingest", "--json", "events.ndjson", cwd=tmp_path).stdout.splitlines()[-1])
    assert (report["messages"], report["rows"], report["dead_letters"]) == (lines, lines, 0)
    assert count(tmp_path, "select count(*) from events") == str(lines)
    burst = "select distinct agent_id from findings where detector = 'write_burst'"
    assert count(tmp_path, burst) == "agent-001"
    auditfuse("verify", cwd=tmp_path)


def test_a_file_loaded_twice_is_kept_and_counted_once(tmp_path: Path) -> None:
    prepare(tmp_path)
    auditfuse(*GENERATE, "events.ndjson", cwd=tmp_path)
    lines = (tmp_path / "events.ndjson").read_text().count("\n")
    for _ in range(2):
        auditfuse("ingest", "events.ndjson", cwd=tmp_path)
    assert count(tmp_path, "select count(*) from events") == str(lines)
    auditfuse("verify", cwd=tmp_path)


def test_bad_lines_become_dead_letters_and_the_rest_is_stored(tmp_path: Path) -> None:
    prepare(tmp_path)
    auditfuse(*GENERATE, "events.ndjson", cwd=tmp_path)
    good = (tmp_path / "events.ndjson").read_text().splitlines()[:10]
    (tmp_path / "mixed.ndjson").write_text("\n".join([*good[:5], "{broken", '{"agent_id": 7}', *good[5:]]))
    auditfuse("ingest", "mixed.ndjson", cwd=tmp_path)
    assert count(tmp_path, "select count(*) from events") == "10"
    assert count(tmp_path, "select count(*) from dead_letters") == "2"


def test_a_file_that_is_not_there_is_told_before_anything_is_made(tmp_path: Path) -> None:
    done = auditfuse("ingest", "nothing.ndjson", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "nothing.ndjson cannot be read" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_told_without_a_traceback(tmp_path: Path) -> None:
    prepare(tmp_path)
    auditfuse(*GENERATE, "events.ndjson", cwd=tmp_path)
    (tmp_path / "auditfuse-data").mkdir()
    (tmp_path / "auditfuse-data" / "topics").write_text("a file where a folder belongs")
    done = auditfuse("ingest", "events.ndjson", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "auditfuse-data/topics" in done.stderr
    assert "Not a directory" in done.stderr
