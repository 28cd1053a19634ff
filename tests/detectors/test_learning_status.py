"""Learning periods say so: in the list of detectors, and in the evidence of floors that watch meanwhile."""

import json
from pathlib import Path

from support.signals import START_MS, batch, batches, observe_all, signal, signals
from typer.testing import CliRunner

from pipeline.commands.detector import app
from pipeline.detect import Detection
from pipeline.detect.config import DetectConfig
from pipeline.detect.snapshots import Snapshots


def test_a_floor_says_what_still_learns() -> None:
    detection = Detection(DetectConfig())
    detection.observe(batch(signals(START_MS, 20, 600)))
    refused = signals(START_MS + 700_000, 60, 20, outcome="denied", status="error", http_status=403)
    (found,) = [
        one for one in detection.observe(batch(refused, start=20)) if one.finding.detector == "auth_failure"
    ]
    assert "auth_failure" in str(found.evidence["learning"])


def test_the_list_tells_since_when_until_when_and_that_floors_watch(tmp_path: Path) -> None:
    config = DetectConfig()
    detection = Detection(config)
    observe_all(detection, batches(signals(START_MS, 500, 5 * 3600)))
    detection.observe(batch([signal(START_MS + 5 * 3_600_000, agent_id="other")], start=500))
    Snapshots(tmp_path / "snapshots", config).save(detection)
    settings = tmp_path / "auditfuse.toml"
    settings.write_text("[store]\n")
    asked = ["list", "--agent", "invoice-agent", "--json", "--store", str(tmp_path)]
    result = CliRunner().invoke(app, [*asked, "--config", str(settings)])
    assert result.exit_code == 0, result.output
    told = {row["detector"]: row for row in json.loads(result.output)}
    assert told["auth_failure"]["is_learning"] is False
    writes = told["write_burst"]
    assert writes["is_learning"] is True
    assert writes["has_floor"] is True
    assert writes["since_ms"] == START_MS
    assert writes["until_ms"] >= START_MS + 96 * 3_600_000
    unknown = CliRunner().invoke(app, [*asked[:2], "nobody", *asked[3:], "--config", str(settings)])
    assert unknown.exit_code != 0
    assert "nobody" in str(unknown.exception)
