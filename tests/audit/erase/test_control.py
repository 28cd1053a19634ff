"""Commands, findings and incidents: what of them may be erased, and what the switch still does afterwards."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.audit import START_MS, counting_clock, sealed_store
from support.erase import erase, settings_in, stored_rows
from support.findings import finding_rows

from pipeline.audit.control import AppendRow, append_rows
from pipeline.audit.store import CONTROL, FINDINGS, Store
from pipeline.audit.verify import verify_store
from pipeline.audit.writer import new_writer_id
from pipeline.killswitch.control_log import ControlLog
from pipeline.killswitch.state import SwitchState, fold
from schemas.command import Command, CommandKind, Selector

PERSON = "<PERSON:k1.0123456789abcdef>"


def command(one_id: str, kind: CommandKind, **changes: Any) -> Command:
    """A command by a person who is to be forgotten, unless `by` says otherwise."""
    made = Command(id=one_id, command=kind, at_ms=START_MS, by=PERSON, automatic=False, reason="because")
    return msgspec.structs.replace(made, **changes)


def append(store: Store, topic_id: str, rows: list[AppendRow]) -> None:
    append_rows(store, topic_id, rows, writer_id=new_writer_id(), now_ms=counting_clock())


def switch_state(store: Store) -> SwitchState:
    """The switch as a host sees it that reads `_control` from its beginning."""
    control = ControlLog(store, writer_id=new_writer_id(), now_ms=counting_clock())
    sealed = {row.id: row for _, row in control.read_sealed(-1) if row is not None}
    return fold((), sealed)


def trip(one_id: str, **changes: Any) -> Command:
    return command(one_id, "trip", selector=Selector(agent="bot"), mode="off", **changes)


def test_a_trip_in_force_stays(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    store = sealed_store(config.store.path, commands=0)
    append(store, CONTROL, [AppendRow.of(trip("trip_1"))])
    before = switch_state(store)
    outcome = erase(config, f"end-user={PERSON}")
    assert (outcome.rows, outcome.total.in_force) == (0, 1)
    assert switch_state(store).digest == before.digest


@pytest.mark.parametrize("whose", ["trip", "request", "approval"])
def test_a_lifted_trip_goes_with_its_reset_or_not_at_all(tmp_path: Path, whose: str) -> None:
    """Were the reset erased alone, the trip would be in force again on every host that starts."""
    config = settings_in(tmp_path)
    store = sealed_store(config.store.path, commands=0)
    names = {part: PERSON if part == whose else f"{part}@ops" for part in ("trip", "request", "approval")}
    rows = [
        trip("trip_1", by=names["trip"]),
        trip("trip_2", by="somebody"),
        command("req_1", "reset_request", trips=["trip_1"], mode="on", by=names["request"]),
        command("app_1", "reset_approval", request_id="req_1", by=names["approval"]),
    ]
    append(store, CONTROL, [AppendRow.of(row) for row in rows])
    before = switch_state(store)
    assert [one.command.id for one in before.in_force] == ["trip_2"]
    outcome = erase(config, f"end-user={PERSON}")
    assert outcome.rows == 3
    assert switch_state(store).digest == before.digest
    assert verify_store(store).holds


def test_scopes_take_findings_but_no_commands(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    store = sealed_store(config.store.path)
    append(store, FINDINGS, finding_rows("invoice-agent"))
    append(store, FINDINGS, finding_rows("other-agent"))
    erase(config, "agent=invoice-agent")
    rows = stored_rows(store)
    left = {row["agent_id"] for key, row in rows.items() if key[0] == FINDINGS and row["meta"]}
    assert left == {"other-agent"}
    assert all(row["meta"] for key, row in rows.items() if key[0] == CONTROL)
    assert verify_store(store).holds


def test_erasures_are_never_erased(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    store = sealed_store(config.store.path)
    erase(config, "agent=invoice-agent")
    erase(config, "topic=_control")
    erase(config, values=["Ana of the request 4711", "request 4711"], what="row")
    kinds = [row["kind"] for key, row in stored_rows(store).items() if key[0] == CONTROL and row["meta"]]
    assert kinds.count("erasure") == 6
