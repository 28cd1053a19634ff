"""The watch: consumes once whatever happens in between, and never ends unseen."""

import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr
from support.audit import START_MS, TOPIC_ID, claim, event_row, seal_batches
from support.erase import eraser_of, request, settings_in, store_of

from pipeline.audit.erase.orders import ControlRows
from pipeline.audit.store import Store
from pipeline.clock import system_now_ms
from pipeline.detect.config import DetectConfig
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.switch import KillSwitch
from pipeline.respond.config import StateConfig
from pipeline.respond.state import StateDatabase
from pipeline.tail import Handover, Tail
from pipeline.watch import Watch
from schemas.command import Selector

KEY = (TOPIC_ID, 0)


@pytest.fixture
def state(tmp_path: Path) -> StateDatabase:
    database = StateDatabase(StateConfig(url=SecretStr(f"sqlite:///{tmp_path / 'state.db'}")))
    database.create_schema()
    return database


def watch(
    tmp_path: Path,
    state: StateDatabase,
    control: ControlRows | None = None,
    switch: KillSwitch | None = None,
) -> Watch:
    switch = switch or KillSwitch(
        KillSwitchConfig(journal=tmp_path / "journal"),
        append=cast("Any", lambda rows: []),
        read_sealed=cast("Any", lambda *_: iter(())),
        now_ms=system_now_ms,
    )
    return Watch(
        tail=Tail(Store(tmp_path / "store"), Handover()),
        detect=DetectConfig(),
        state=state,
        switch=switch,
        snapshots=tmp_path / "snapshots",
        on_found=lambda: None,
        now_ms=system_now_ms,
        control=control,
    )


def seal_refusals(tmp_path: Path, agents: list[str]) -> None:
    """One segment an agent, each with enough refusals for a finding."""
    writer = claim(Store(tmp_path / "store"))
    for agent in agents:
        rows = [
            event_row(writer.end + n, agent_id=agent, outcome="denied", status="error", http_status=403)
            for n in range(25)
        ]
        seal_batches(writer, [rows])


def run_until_idle(one: Watch) -> None:
    while one.step():
        pass


def agents_of(state: StateDatabase) -> list[str]:
    return sorted(incident.agent_id for incident in state.incidents(include_resolved=True))


def test_a_restart_finds_nothing_twice_and_nothing_less(tmp_path: Path, state: StateDatabase) -> None:
    seal_refusals(tmp_path, ["one", "two"])
    run_until_idle(watch(tmp_path, state))
    assert agents_of(state) == ["one", "two"]
    seal_refusals(tmp_path, ["three"])
    restarted = watch(tmp_path, state)
    run_until_idle(restarted)
    assert agents_of(state) == ["one", "three", "two"]
    assert restarted.findings == 1
    assert state.sealed_ends() == {KEY: 75}


def test_an_agent_stored_under_a_redacted_name_acts_after_the_trip_by_its_own(
    tmp_path: Path, state: StateDatabase
) -> None:
    stored = "<PERSON:k1.0123456789abcdef> bot"
    switch = KillSwitch(
        KillSwitchConfig(journal=tmp_path / "journal"),
        append=cast("Any", lambda rows: []),
        read_sealed=cast("Any", lambda *_: iter(())),
        stands_for=lambda redacted, name: (redacted, name) == (stored, "Ada bot"),
        now_ms=lambda: START_MS - 60_000,
    )
    switch.trip(Selector(agent="Ada bot"), "off", by="on-call", reason="test")
    one = watch(tmp_path, state, switch=switch)
    writer = claim(Store(tmp_path / "store"))
    for agent in (stored, "<PERSON:k1.fedcba9876543210> bot"):
        row = event_row(writer.end, agent_id=agent, action_kind="write")
        seal_batches(writer, [[row]])
        run_until_idle(one)
    seal_batches(writer, [[event_row(writer.end, agent_id="other")]])
    run_until_idle(one)
    assert agents_of(state) == [stored]


def test_what_another_process_has_consumed_is_taken_as_done(tmp_path: Path, state: StateDatabase) -> None:
    seal_refusals(tmp_path, ["one"])
    late, other = watch(tmp_path, state), watch(tmp_path, state)
    run_until_idle(late)
    run_until_idle(other)
    seal_refusals(tmp_path, ["two"])
    run_until_idle(other)
    stop, arrived = threading.Event(), threading.Event()
    thread = threading.Thread(target=late.run, args=(arrived, stop))
    thread.start()
    await_ends(late, {KEY: 50})
    stop.set()
    arrived.set()
    thread.join(10)
    assert agents_of(state) == ["one", "two"]


def test_whatever_fails_is_tried_again(
    tmp_path: Path, state: StateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.commits.RETRY_S", 0.01)
    seal_refusals(tmp_path, ["one"])
    consume, failures = state.consume, [2]

    def failing(*args: Any) -> Any:
        if failures[0]:
            failures[0] -= 1
            raise ArithmeticError
        return consume(*args)

    monkeypatch.setattr(state, "consume", failing)
    one, stop, arrived = watch(tmp_path, state), threading.Event(), threading.Event()
    thread = threading.Thread(target=one.run, args=(arrived, stop))
    thread.start()
    await_ends(one, {KEY: 25})
    stop.set()
    arrived.set()
    thread.join(10)
    assert agents_of(state) == ["one"]
    assert failures == [0]


def test_a_snapshot_spares_the_rows_below_it(tmp_path: Path, state: StateDatabase) -> None:
    seal_refusals(tmp_path, ["one"])
    stop = threading.Event()
    first = watch(tmp_path, state)
    run_until_idle(first)
    stop.set()
    first.run(threading.Event(), stop)  # saves the snapshot as it ends
    assert list((tmp_path / "snapshots").iterdir())
    seal_refusals(tmp_path, ["two"])
    run_until_idle(watch(tmp_path, state))
    assert agents_of(state) == ["one", "two"]


def test_what_was_learnt_before_an_erasure_is_forgotten(
    tmp_path: Path, state: StateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The running detection starts anew from what is left, and no snapshot brings the rest back."""
    monkeypatch.setattr("pipeline.watch.ERASURE_CHECK_INTERVAL_S", 0)
    config = settings_in(tmp_path)
    store = store_of(config)
    seal_refusals(tmp_path, ["one", "two"])
    stop = threading.Event()
    stop.set()
    watching = watch(tmp_path, state, ControlRows(store))
    run_until_idle(watching)
    watching.run(threading.Event(), stop)
    eraser_of(config, now_ms=system_now_ms).execute(request("agent=two"))
    assert watching.known_agents == {"one", "two"}
    watching.run(threading.Event(), stop)
    restarted = watch(tmp_path, state, ControlRows(store))
    for one in (restarted, watching):
        run_until_idle(one)
        run_until_idle(one)
        assert one.known_agents == {"one"}
    watching.run(threading.Event(), stop)
    assert list((tmp_path / "snapshots").iterdir()), "what was learnt since is kept again"


def await_ends(one: Watch, ends: dict[tuple[str, int], int]) -> None:
    deadline = time.monotonic() + 15
    while dict(one.ends) != ends:
        assert time.monotonic() < deadline, f"consumed up to {one.ends}, not {ends}"
        time.sleep(0.01)
