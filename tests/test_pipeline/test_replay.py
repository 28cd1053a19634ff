"""Replay: what was found live comes again from the store alone, and another configuration is told apart."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr
from support.audit import TOPIC_ID, claim, event_row, seal_batches
from support.respond import MINUTE_MS, START_MS, a_finding
from support.running import write_config
from typer.testing import CliRunner

from pipeline.audit.control import AppendLog, AppendRow
from pipeline.audit.store import FINDINGS, Store
from pipeline.cli import build_app
from pipeline.clock import system_now_ms
from pipeline.detect.config import DetectConfig
from pipeline.errors import AuditfuseError
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.switch import KillSwitch
from pipeline.replay.compare import Alarm, alarms, compare, differences
from pipeline.respond.config import RespondConfig, StateConfig
from pipeline.respond.messages import Outbox
from pipeline.respond.state import StateDatabase
from pipeline.tail import Handover, Tail
from pipeline.watch import Watch
from schemas.finding import Finding

AGENTS = ["one", "two", "three"]


def live(folder: Path) -> StateDatabase:
    """Refusals of three agents, found live and sealed; the state database of it."""
    writer = claim(Store(folder / "store"))
    for agent in AGENTS:
        refusals = [
            event_row(writer.end + n, agent_id=agent, outcome="denied", status="error", http_status=403)
            for n in range(25)
        ]
        seal_batches(writer, [refusals])
    state = StateDatabase(StateConfig(url=SecretStr(f"sqlite:///{folder / 'state.db'}")))
    state.create_schema()
    switch = KillSwitch(
        KillSwitchConfig(journal=folder / "journal"),
        append=cast("Any", lambda rows: []),
        read_sealed=cast("Any", lambda *_: iter(())),
    )
    watch = Watch(
        tail=Tail(Store(folder / "store"), Handover()),
        detect=DetectConfig(),
        state=state,
        switch=switch,
        snapshots=folder / "snapshots",
        on_found=lambda: None,
        now_ms=system_now_ms,
    )
    while watch.step():
        pass
    return state


def seal(folder: Path, state: StateDatabase, leave_out: Sequence[str] = ()) -> None:
    """What waits for `_findings`, but the findings of some agents."""
    rows = [row for _, row in Outbox(state, RespondConfig()).pending_appends(100)]
    kept = [row for row in rows if row.kind != "finding" or row.finding.agent_id not in leave_out]
    log = AppendLog(Store(folder / "store"), FINDINGS, writer_id="test", now_ms=system_now_ms)
    log.append([AppendRow.of(row) for row in kept])


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and output of one command; the error's text where it raises one of ours."""
    result = CliRunner().invoke(build_app(), list(arguments))
    if isinstance(result.exception, AuditfuseError):
        return result.exception.exit_code, str(result.exception)
    return result.exit_code, result.output


def replay(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    code, printed = run("replay", "--from", "2000-01-01", "--store", f"{folder}/store", "--json", *options)
    return code, json.loads(printed)


def test_the_replay_of_a_live_run_finds_the_same(tmp_path: Path) -> None:
    seal(tmp_path, live(tmp_path))
    code, report = replay(tmp_path)
    assert (code, report["holds"], report["findings"], report["signals"]) == (0, True, 3, 75)


def test_a_finding_that_was_kept_out_of_the_record_is_named(tmp_path: Path) -> None:
    seal(tmp_path, live(tmp_path), leave_out=["two"])
    code, report = replay(tmp_path)
    assert (code, report["holds"]) == (1, False)
    assert [(one["what"], one["finding"]["agent_id"]) for one in report["differing"]] == [("extra", "two")]


def test_a_configuration_that_would_miss_what_was_real_does_not_hold(tmp_path: Path) -> None:
    state = live(tmp_path)
    for incident in state.incidents():
        verdict = "real" if incident.agent_id == "one" else "false"
        state.resolve(incident.incident_id, "maria", "", system_now_ms(), cast("Any", verdict))
    seal(tmp_path, state)
    (tmp_path / "other").mkdir()
    other = write_config(tmp_path / "other", detect={"auth_failure": {"floor": {"per_minute": 26}}})
    code, report = replay(tmp_path, "--config", str(other), "--plot", f"{tmp_path}/changes.png")
    assert (code, report["holds"]) == (1, False)
    pages = report["detectors"]["auth_failure"]
    assert pages == {"before": 3, "after": 0, "real_gone": 1, "false_gone": 2}
    assert {(one["change"], one["agent_id"], one["verdict"]) for one in report["changes"]} == {
        ("gone", "one", "real"),
        ("gone", "two", "false"),
        ("gone", "three", "false"),
    }
    assert (tmp_path / "changes.png").read_bytes().startswith(b"\x89PNG")


def test_a_detector_in_shadow_pages_nobody_in_a_replay_either(tmp_path: Path) -> None:
    seal(tmp_path, live(tmp_path))
    (tmp_path / "other").mkdir()
    other = write_config(tmp_path / "other", detect={"auth_failure": {"shadow": True}})
    code, report = replay(tmp_path, "--config", str(other))
    assert code == 0, "nobody called them real"
    assert report["detectors"]["auth_failure"]["after"] == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--from", "yesterday"], "--from 'yesterday' is no time"),
        (["--from", "2026-02-01", "--to", "2026-01-01"], "--from is not before --to"),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path: Path, options: list[str], says: str) -> None:
    code, said = run("replay", *options, "--store", f"{tmp_path}/store")
    assert (code, says in said) == (2, True), said


def test_explain_tells_all_that_is_behind_a_finding(tmp_path: Path) -> None:
    state = live(tmp_path)
    seal(tmp_path, state)
    [incident] = [one for one in state.incidents() if one.agent_id == "two"]
    store = ("--store", f"{tmp_path}/store")
    [explained] = json.loads(run("explain", incident.incident_id, "--json", *store)[1])
    assert explained["finding"]["facts"]["limit_per_minute"] == 20
    assert len(explained["events"]) == 10
    assert explained["events"][0]["row"].startswith(f"{TOPIC_ID}/0/25/")
    told = run("explain", explained["id"], *store)[1]
    for part in ("At least 20 refused", "All of them", "docs/runbooks/auth_failure.md", "outcome = 'denied'"):
        assert part in told
    code, said = run("explain", "fnd_0", *store)
    assert (code, "no finding fnd_0 is sealed" in said) == (2, True)


def finding(window: int, **changes: Any) -> Finding:
    return a_finding(window=window, **changes)


def raised(*windows: int) -> list[Alarm]:
    return alarms([finding(window) for window in windows], RespondConfig())


def test_findings_close_together_are_one_alarm() -> None:
    [one] = raised(0, 1, 25)
    assert (one.findings, one.to_ms - one.from_ms) == (3, 25 * MINUTE_MS)
    # Quiet for more than half an hour: resolved, and the next finding reopens it.
    assert [alarm.from_ms for alarm in raised(0, 40)] == [START_MS + MINUTE_MS, START_MS + 41 * MINUTE_MS]


def test_an_alarm_that_moves_is_earlier_or_later() -> None:
    gap_ms = 30 * MINUTE_MS
    [same] = compare(raised(5), raised(5, 6), {}, gap_ms)
    [earlier] = compare(raised(5), raised(3, 5), {}, gap_ms)
    [later] = compare(raised(5, 6), raised(6), {}, gap_ms)
    assert [(one.change, one.shift_ms) for one in (same, earlier, later)] == [
        ("same", 0),
        ("earlier", -2 * MINUTE_MS),
        ("later", MINUTE_MS),
    ]
    changes = {one.change for one in compare(raised(5), raised(500), {}, gap_ms)}
    assert changes == {"gone", "new"}


def test_other_bytes_under_one_identity_are_a_difference() -> None:
    one, other = finding(0), finding(0, summary="another summary")
    assert one.finding_id == other.finding_id
    [difference] = differences({one.finding_id: one}, {other.finding_id: other})
    assert difference.what == "changed"
