"""`auditfuse sources`: shares of fields, and detectors that are blind."""

import json
from pathlib import Path
from typing import Any

import typer
from support.audit import claim, event_row
from typer.testing import CliRunner

from pipeline.audit.store import Store
from pipeline.commands.sources import sources

BARE: dict[str, Any] = {
    "agent_id": "bare",
    "status": "unset",
    "http_status": None,
    "action_kind": "unknown",
    "target": None,
    "scopes": [],
    "flags": ["span_id_derived"],
}


def run(root: Path, *arguments: str) -> str:
    app = typer.Typer()
    app.command()(sources)
    return CliRunner().invoke(app, ["--store", str(root), *arguments], catch_exceptions=False).output


def test_shares_and_blind_detectors(tmp_path: Path) -> None:
    rows = [event_row(0), event_row(1, target=None), event_row(2, **BARE), event_row(3, **BARE)]
    claim(Store(tmp_path)).seal(rows, 4)
    bare, invoice = json.loads(run(tmp_path, "--json"))
    assert (invoice["agent_id"], invoice["events"]) == ("invoice-agent", 2)
    assert invoice["blind"]["expired_credential"] == ["credential_expires"]
    assert not invoice["blind"].keys() & {"write_burst", "error_spike", "auth_failure"}
    assert not bare["blind"].keys() & {"forbidden", "scope_not_granted"}, "the policy has no such rule"
    assert invoice["fields"]["target"] == 0.5
    assert invoice["fields"]["http_status"] is None, "nothing failed yet"
    assert bare["fields"]["span_id"] == bare["fields"]["scopes"] == 0
    assert bare["blind"]["write_burst"] == ["action_kind"]
    assert bare["blind"]["error_spike"] == ["status", "outcome"]
    assert "blind:     write_burst, for want of action_kind" in run(tmp_path)


def test_refusals_without_a_code_blind_the_detector_of_refusals(tmp_path: Path) -> None:
    failed: dict[str, Any] = {"status": "error", "outcome": "error", "http_status": None}
    claim(Store(tmp_path)).seal([event_row(0, **failed), event_row(1, error_type="timeout", **failed)], 2)
    [agent] = json.loads(run(tmp_path, "--json"))
    assert "auth_failure" not in agent["blind"]
    claim(Store(tmp_path), partition=1).seal([event_row(0, agent_id="mute", **failed)], 1)
    [_, mute] = json.loads(run(tmp_path, "--json"))
    assert mute["blind"]["auth_failure"] == ["http_status", "error_type"]


def test_empty_store(tmp_path: Path) -> None:
    claim(Store(tmp_path))
    assert run(tmp_path) == "The store holds no events yet.\n"
