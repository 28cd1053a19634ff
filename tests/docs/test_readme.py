"""What the README says to type works as it says."""

import json
import os
import re
import urllib.request
from pathlib import Path

from support.docs import ROOT, commands_in, fences
from support.running import Running, auditfuse, free_port, sealed_rows, wait_until

README = [fence for fence in fences() if fence.page == "README.md"]
QUICK = {"AUDITFUSE_REDACTION__NAMES": "off", "AUDITFUSE_WORKER__PROCESSES": "0"}


def fence(language: str, containing: str) -> str:
    (found,) = [one.text for one in README if one.language == language and containing in one.text]
    return found


def test_the_smallest_configuration_takes_the_native_event(tmp_path: Path):
    (tmp_path / "auditfuse.toml").write_text(fence("toml", "default_sources"))
    http_port, control_port = free_port(), free_port()
    ports = {"AUDITFUSE_HTTP__PORT": str(http_port), "AUDITFUSE_KILLSWITCH__PORT": str(control_port)}
    environment = {**os.environ, **QUICK, **ports}
    with Running(tmp_path, control_port, environment) as running:
        running.wait_ready()
        request = urllib.request.Request(
            f"http://127.0.0.1:{http_port}/v1/events",
            fence("json", "invoice-agent").encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert json.load(response) == {"accepted": 1, "dead_letters": 0}
        store = tmp_path / "auditfuse-data" / "store"
        wait_until(lambda: sealed_rows(store) == 1, 30, "the event is sealed")
        query = "select agent_id, bound, action_kind, input from events"
        told = auditfuse("sql", "--format", "json", query, cwd=tmp_path, env=environment).stdout
        assert running.stop() == 0
    (event,) = json.loads(told)
    assert event["agent_id"] == "invoice-agent"
    assert event["bound"] is True
    assert event["action_kind"] == "external"
    assert "mia@example.org" not in told
    assert "<EMAIL_ADDRESS:k1." in told


def test_the_first_query_finds_what_was_planted(tmp_path: Path):
    environment = {**os.environ, **QUICK}
    generate, ingest, sql, incidents, verify = (
        arguments
        for line in fence("sh", "auditfuse generate").splitlines()
        for arguments in commands_in(line)
    )
    generate = ["--minutes=12" if word == "30" else word for word in generate if word != "--minutes"]
    # The same story in less time: earlier and smaller faults.
    generate = [re.sub(r"@\d+\+\d+x\d+", "@300+90x8", word) if "write" in word else word for word in generate]
    generate = [re.sub(r"@\d+\+\d+x", "@120+120x", word) if "auth" in word else word for word in generate]
    auditfuse(*generate, cwd=tmp_path, env=environment)
    auditfuse(*ingest, cwd=tmp_path, env=environment)
    counts = auditfuse(*sql, cwd=tmp_path, env=environment).stdout
    assert re.search(r"agent-002\s+denied\s+\d+", counts)
    found = auditfuse(*incidents, cwd=tmp_path, env=environment).stdout
    assert "agent-001" in found
    assert "agent-002" in found
    assert "The audit trail holds." in auditfuse(*verify, cwd=tmp_path, env=environment).stdout


def test_it_names_only_make_targets_that_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / "README.md").read_text()
    assert set(re.findall(r"`(?:time )?make ([a-z-]+)`", text)) <= targets
    assert set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)) <= targets


def test_it_promises_nothing_about_personal_data():
    assert "no pii" not in (ROOT / "README.md").read_text().lower()
