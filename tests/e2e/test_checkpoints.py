"""Checkpoints of a running auditfuse: one at the end covers everything, and its anchor has it."""

import json
import urllib.request
from pathlib import Path

import pytest
from support.running import Running, auditfuse, free_port, wait_until, write_config
from support.service import QUICK, event

pytestmark = pytest.mark.timeout(180)


def test_what_was_recorded_until_the_end_is_signed_and_anchored(tmp_path: Path) -> None:
    events, control = free_port(), free_port()
    write_config(
        tmp_path,
        data_dir="data",
        **QUICK,
        sources=[
            {
                "name": "direct",
                "topic": "direct",
                "kind": "http",
                "format": "events",
                "agents": ["*"],
                "environments": ["*"],
            }
        ],
        http={"port": events, "default_sources": ["direct"]},
        killswitch={"port": control},
        checkpoint={
            "interval_s": 0.5,
            "anchors": [{"name": "far", "kind": "directory", "path": "far"}],
        },
    )
    with Running(tmp_path, control) as running:
        running.wait_ready()
        request = urllib.request.Request(
            f"http://127.0.0.1:{events}/v1/events", event(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()
        wait_until(lambda: any((tmp_path / "far").glob("*.note")), 60, "a checkpoint while it runs")
        auditfuse("checkpoint", "now", cwd=tmp_path)
        auditfuse(
            "killswitch", "trip", "--agent", "a", "--reason", "the last thing before the end", cwd=tmp_path
        )
        assert running.stop() == 0
    done = auditfuse("verify", "--json", cwd=tmp_path)
    outcomes = {one["verdict"]: one for one in json.loads(done.stdout)["outcomes"]}
    for verdict in ("checkpoints signed and consistent", "anchored up to"):
        assert outcomes[verdict]["state"] == "holds"
        assert outcomes[verdict]["details"][0].endswith("nothing is open")
    assert (tmp_path / "data" / "store" / "log" / "_control").is_dir()
    claims = [
        entry
        for entry in (tmp_path / "data" / "store" / "log" / "_checkpoint" / "0").iterdir()
        if b'"kind":"claim"' in entry.read_bytes()
    ]
    assert len(claims) == 1, "the command beside the service fights it"
