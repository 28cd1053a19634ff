"""`auditfuse rollout`: the step that a canary is at, and what holds it there."""

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from support.audit import claim, command_row, event_row, origin
from support.running import write_config
from typer.testing import CliRunner, Result

from pipeline.audit.control import append_rows
from pipeline.audit.store import CONTROL, Store
from pipeline.audit.writer import new_writer_id
from pipeline.commands.rollout import rollout

NOW_MS = time.time_ns() // 1_000_000
EVENTS = 6_000
HOURS = 8


def build(
    folder: Path, *, one_in: int, failing: int = 50, tripped: bool = False, events: int = EVENTS
) -> Path:
    """Eight hours of traces; one in `one_in` is of the canary, of which one in `failing` fails."""
    write_config(folder, data_dir=str(folder))
    step_ns = HOURS * 3600 * 1_000_000_000 // events

    def fields(n: int) -> dict[str, Any]:
        on_trial = n % one_in == 0
        failed = (n // one_in) % failing == 0 if on_trial else n % 50 == 1
        return {
            "agent_id": "refund-agent",
            "agent_version": "2.1" if on_trial else "2.0",
            "trace_id": f"{n + 1:032x}",
            "start_time_unix_nano": (NOW_MS - 60_000) * 1_000_000 - (events - n) * step_ns,
            "outcome": "error" if failed else "ok",
            "origin": msgspec.structs.replace(origin(n), broker_time_ms=NOW_MS),
        }

    store = Store(folder / "store")
    claim(store).seal([event_row(n, **fields(n)) for n in range(events)], events)
    if tripped:
        trip = command_row("trip_1", agent="refund-agent", at_ms=NOW_MS - 120_000)
        append_rows(store, CONTROL, [trip], writer_id=new_writer_id(), now_ms=lambda: NOW_MS)
    return folder


def run(folder: Path, *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(rollout)
    command = ["refund-agent", "--canary", "2.1", "--config", str(folder / "auditfuse.toml"), *arguments]
    result = CliRunner().invoke(app, command)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def missing(report: dict[str, Any]) -> list[str]:
    return [gate["gate"] for gate in report["gates"] if not gate["holds"]]


@pytest.mark.parametrize(("one_in", "step", "next_step"), [(20, 5, 25), (5, 25, 100)])
def test_a_good_canary_goes_on_to_the_next_step(
    tmp_path: Path, one_in: int, step: int, next_step: int
) -> None:
    build(tmp_path, one_in=one_in, events=700 * one_in)
    result = run(tmp_path, "--hours", "6", "--json")
    report = json.loads(result.stdout)
    assert (report["step"], report["next_step"], report["may_go_on"]) == (step, next_step, True), missing(
        report
    )
    assert report["share"] == pytest.approx(1 / one_in, abs=0.002) and result.exit_code == 0


def test_a_worse_canary_stays_and_the_way_back_is_named(tmp_path: Path) -> None:
    build(tmp_path, one_in=8, failing=3)
    result = run(tmp_path, "--hours", "6")
    assert result.exit_code == 1 and "STAY" in result.stdout
    assert "what is worse: auditfuse canary refund-agent --canary 2.1" in result.stdout


def test_a_young_or_tripped_canary_stays(tmp_path: Path) -> None:
    build(tmp_path, one_in=8, tripped=True)
    report = json.loads(run(tmp_path, "--json").stdout)
    assert missing(report) == ["it has run for 24 hours", "no trip since it runs"]
    assert not report["may_go_on"]
