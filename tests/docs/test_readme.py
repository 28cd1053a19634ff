"""What the README says to type works as it says."""

import json
import os
import re
import urllib.request
from pathlib import Path

import polars as pl
from support.docs import ROOT, commands_in, fences
from support.running import Running, auditfuse, free_port, sealed_rows, wait_until

from pipeline.detect.config import DetectConfig

README = [fence for fence in fences() if fence.page == "README.md"]
QUICK = {
    "AUDITFUSE_REDACTION__NAMES": "off",
    "AUDITFUSE_REDACTION__ENTITIES": '["EMAIL_ADDRESS"]',
    "AUDITFUSE_WORKER__PROCESSES": "0",
}


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


def test_the_first_query_plants_what_the_detectors_look_for(tmp_path: Path):
    """Cheaper than loading it all: that such events are found is tested where the detectors are."""
    generate = next(commands_in(fence("sh", "auditfuse generate").splitlines()[1]))
    auditfuse(*generate, cwd=tmp_path)
    events = pl.read_ndjson(tmp_path / generate[-1], infer_schema_length=None)
    refused = (pl.col("http_status") == 403).fill_null(value=False)
    minutes = events.group_by("agent_id", minute=pl.col("start_time_unix_nano") // 60_000_000_000).agg(
        writes=((pl.col("action_kind") == "write") & ~refused).sum(), refused=refused.sum()
    )
    detect = DetectConfig()
    writing = minutes.filter(pl.col("writes") >= detect.write_burst.floor.per_minute)
    probing = minutes.filter(pl.col("refused") >= detect.auth_failure.floor.per_minute)
    assert set(writing["agent_id"]) == {"agent-001"}
    assert set(probing["agent_id"]) == {"agent-002"}


def test_it_names_only_make_targets_that_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    targets |= {path.stem.replace("_", "-") for path in (ROOT / "benchmarks").glob("*_*.py")}
    text = (ROOT / "README.md").read_text()
    assert set(re.findall(r"`(?:time )?make ([a-z-]+)`", text)) <= targets
    assert set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)) <= targets


def test_it_promises_nothing_about_personal_data():
    assert "no pii" not in (ROOT / "README.md").read_text().lower()
