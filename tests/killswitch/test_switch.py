"""The switch with its journal and `_control`: what is served when, what survives, what is refused."""

import os
import threading
import time

import msgspec
import pytest
from support.killswitch import Clock, FakeControl, running_switch, until

from pipeline.killswitch.compose import CommandError, automatic_trip_id
from pipeline.killswitch.journal import Journal
from pipeline.killswitch.state import Context, join
from schemas.command import Command, Selector

AGENT = Selector(agent="invoice-agent")


def mode(switch, agent="invoice-agent"):
    return join(switch.state.matching(Context(agents=frozenset({agent}))))


def trip(switch, **more):
    order = {"selector": AGENT, "mode": "off", "by": "alice", "reason": "pays twice", **more}
    return switch.trip(order.pop("selector"), order.pop("mode"), **order)


@pytest.fixture
def control():
    return FakeControl()


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "journal"


def test_a_trip_is_served_journaled_and_sealed(journal, control):
    with running_switch(journal, control) as switch:
        made = trip(switch)
        assert mode(switch) == "off"
        assert mode(switch, "other") == "on"
        assert switch.wait_sealed(made.id, 5)
        assert control.rows == [made]
        until(lambda: not list((journal / "trips").iterdir()))


def test_a_trip_outlives_a_restart_while_control_is_down(journal, control):
    control.broken = True
    with running_switch(journal, control) as switch:
        made = trip(switch)
        assert switch.standing(made.id) == "journaled"
        until(lambda: not switch.status().control.working)
    with running_switch(journal, control) as switch:
        assert mode(switch) == "off"
        control.broken = False
        assert switch.wait_sealed(made.id, 5)
    assert [row.id for row in control.rows] == [made.id]


def test_sealed_trips_and_lifts_are_remembered_without_control(journal, control):
    with running_switch(journal, control) as switch:
        kept, lifted = trip(switch), trip(switch, selector=Selector(agent="other"))
        request = switch.request_reset([lifted.id], by="alice", reason="fixed")
        approval = switch.approve_reset(request.id, by="bob", reason="checked")
        assert switch.wait_sealed(approval.id, 5)
        until(lambda: Journal(journal).load_cache() is not None and not list((journal / "trips").iterdir()))
        until(lambda: lifted.id in (Journal(journal).load_cache().lifted))
    control.broken = True
    with running_switch(journal, control) as switch:
        assert mode(switch) == "off"
        assert mode(switch, "other") == "on"
        assert switch.standing(kept.id) == "sealed"


def test_the_same_finding_trips_once_even_after_its_trip_was_lifted(journal, control):
    with running_switch(journal, control) as switch:
        for _ in range(2):
            made = trip(switch, automatic=True, finding_id="fnd_1", by="auditfuse")
        assert made.id == automatic_trip_id("fnd_1")
        request = switch.request_reset([made.id], by="alice", reason="fixed")
        approval = switch.approve_reset(request.id, by="bob", reason="checked")
        assert switch.wait_sealed(approval.id, 5)
        until(lambda: mode(switch) == "on")
        until(lambda: made.id in (Journal(journal).load_cache() or pytest.fail("no cache")).lifted)
    with running_switch(journal, control) as switch:
        trip(switch, automatic=True, finding_id="fnd_1", by="auditfuse")
        assert mode(switch) == "on"
    assert [row.command for row in control.rows] == ["trip", "reset_request", "reset_approval"]


def test_loosening_waits_for_its_seal(journal, control):
    with running_switch(journal, control) as switch:
        made = trip(switch)
        assert switch.wait_sealed(made.id, 5)
        control.broken = True
        request = switch.request_reset([made.id], by="alice", reason="fixed")
        approval = switch.approve_reset(request.id, by="bob", reason="checked")
        assert not switch.wait_sealed(approval.id, 0.3)
        assert mode(switch) == "off"
        assert switch.standing(approval.id) == "waiting"
        control.broken = False
        assert switch.wait_sealed(approval.id, 5)
        assert mode(switch) == "on"


def test_two_different_people_reset(journal, control):
    with running_switch(journal, control) as switch:
        made = trip(switch)
        request = switch.request_reset([made.id], by="Alice", reason="fixed")
        with pytest.raises(CommandError, match="another person"):
            switch.approve_reset(request.id, by=" alice", reason="fixed")
        with pytest.raises(CommandError, match="no reset request"):
            switch.approve_reset("reset_nope", by="bob", reason="x")
        with pytest.raises(CommandError, match="no trip in force"):
            switch.request_reset(["trip_nope"], by="bob", reason="x")
        switch.approve_reset(request.id, by="bob", reason="checked")
        with pytest.raises(CommandError, match="approved already"):
            switch.approve_reset(request.id, by="carol", reason="me too")


def test_a_reset_may_go_in_steps(journal, control):
    with running_switch(journal, control) as switch:
        made = trip(switch)
        for step in ("read_only", "on"):
            request = switch.request_reset([made.id], by="alice", reason="slowly", mode=step)
            approval = switch.approve_reset(request.id, by="bob", reason="yes")
            assert switch.wait_sealed(approval.id, 5)
            assert mode(switch) == step


def test_one_person_steps_an_automatic_trip_down_and_no_other(journal, control):
    with running_switch(journal, control) as switch:
        by_hand = trip(switch)
        automatic = trip(
            switch, selector=Selector(agent="bot"), automatic=True, finding_id="fnd_1", by="auditfuse"
        )
        with pytest.raises(CommandError, match="made by a person"):
            switch.step_down([by_hand.id], by="alice", reason="month end")
        made = switch.step_down([automatic.id], by="alice", reason="month end")
        assert switch.wait_sealed(made.id, 5)
        assert mode(switch, "bot") == "read_only"
        with pytest.raises(CommandError, match="read_only already"):
            switch.step_down([automatic.id], by="alice", reason="again")


def test_a_time_limited_trip_ends_only_once_its_end_is_sealed(journal, control):
    clock = Clock()
    with running_switch(journal, control, now_ms=clock) as switch:
        made = trip(switch, until_ms=clock.now_ms + 1000)
        assert switch.wait_sealed(made.id, 5)
        control.broken = True
        clock.now_ms += 1000
        until(lambda: switch.standing("expire_" + made.id[5:]) == "waiting")
        assert mode(switch) == "off"
        control.broken = False
        until(lambda: mode(switch) == "on")
    assert [row.command for row in control.rows] == ["trip", "expire"]


def test_trips_that_other_hosts_sealed_are_served_here(tmp_path, control):
    with (
        running_switch(tmp_path / "here", control) as here,
        running_switch(tmp_path / "there", control) as there,
    ):
        made = trip(there)
        until(lambda: mode(here) == "off")
        request = here.request_reset([made.id], by="alice", reason="fixed")
        assert here.wait_sealed(request.id, 5)
        until(lambda: any(r.id == request.id for r in there.status().requests))
        there.approve_reset(request.id, by="bob", reason="checked")
        until(lambda: mode(here) == mode(there) == "on")


def test_a_trip_written_by_the_command_line_is_served_within_a_second(journal, control):
    with running_switch(journal, control) as switch:
        Journal(journal).add(_command("trip_00c0ffee", selector=AGENT, mode="off"))
        until(lambda: mode(switch) == "off", timeout_s=1.0)
        assert switch.wait_sealed("trip_00c0ffee", 5)


def test_without_a_journal_a_trip_is_served_as_volatile(journal, control):
    journal.write_text("a file where the directory should be")
    control.broken = True
    with running_switch(journal, control) as switch:
        assert mode(switch) == "on"
        made = trip(switch)
        assert mode(switch) == "off"
        assert switch.standing(made.id) == "volatile"
        assert switch.is_volatile(made.id)
        status = switch.status()
        assert not status.journal.working
        assert status.trips[0].standing == "volatile"
        journal.unlink()
        until(lambda: switch.standing(made.id) == "journaled")
        assert not switch.is_volatile(made.id)


def test_a_journal_that_hangs_delays_no_trip(journal, control, monkeypatch):
    released = threading.Event()
    real_fsync = os.fsync
    with running_switch(journal, control) as switch:
        monkeypatch.setattr(os, "fsync", lambda fd: (released.wait(10), real_fsync(fd)))
        began = time.monotonic()
        made = trip(switch)
        assert time.monotonic() - began < 1.0
        assert mode(switch) == "off"
        released.set()
        assert switch.wait_sealed(made.id, 5)


def test_control_that_hangs_delays_no_trip(journal):
    released = threading.Event()

    class Hanging(FakeControl):
        def append(self, commands):
            released.wait(10)
            return super().append(commands)

    with running_switch(journal, Hanging()) as switch:
        for n in range(3):
            began = time.monotonic()
            made = trip(switch, selector=Selector(agent=f"agent-{n}"))
            assert mode(switch, f"agent-{n}") == "off"
            assert time.monotonic() - began < 1.0
            assert switch.standing(made.id) == "journaled"
        released.set()


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 40, b"[" * 100_000, b'{"kind":"command"', b"\xff\xfe{}"], ids=range(5)
)
def test_a_trip_file_that_cannot_be_read_stops_everything_until_two_people_lift_it(journal, control, content):
    (journal / "trips").mkdir(parents=True)
    (journal / "trips" / "trip_0badf11e.json").write_bytes(content)
    with running_switch(journal, control) as switch:
        assert mode(switch, "anyone") == "off"
        assert "cannot" not in switch.state.in_force[0].command.by
        request = switch.request_reset(["trip_0badf11e"], by="alice", reason="looked at it")
        approval = switch.approve_reset(request.id, by="bob", reason="so did I")
        assert switch.wait_sealed(approval.id, 5)
        assert mode(switch, "anyone") == "on"


def test_a_forged_lift_in_the_journal_loosens_nothing(journal, control):
    with running_switch(journal, control) as switch:
        made = trip(switch)
        request = _command("reset_0000aaaa", command="reset_request", trips=[made.id])
        approval = _command("approval_0000aaaa", command="reset_approval", by="bob", request_id=request.id)
        for name, forged in ((request.id, request), (approval.id, approval), ("trip_0000aaaa", approval)):
            (journal / "trips" / f"{name}.json").write_bytes(msgspec.json.encode(forged))
        until(lambda: len(switch.state.in_force) == 2)  # the file with a trip's name stops everything
        assert mode(switch) == "off"
    assert {row.command for row in control.rows} == {"trip"}


def test_a_store_put_back_from_a_backup_does_not_lose_a_trip(journal, control):
    with running_switch(journal, control) as switch:
        made = trip(switch)
        assert switch.wait_sealed(made.id, 5)
        until(lambda: not list((journal / "trips").iterdir()))
    control.rows.clear()
    with running_switch(journal, control) as switch:
        assert mode(switch) == "off"
        until(lambda: control.rows == [made])


def test_a_garbled_memory_of_sealed_trips_stops_everything_until_control_is_read(journal, control):
    journal.mkdir()
    (journal / "sealed.json").write_bytes(b'{"offset":3,"comm')
    control.broken = True
    with running_switch(journal, control) as switch:
        assert mode(switch, "anyone") == "off"
        control.broken = False
        until(lambda: mode(switch, "anyone") == "on")
    assert control.rows == []


@pytest.mark.parametrize(
    "nonsense",
    [
        {"mode": "on"},
        {"mode": "stop"},
        {"by": "  "},
        {"reason": ""},
        {"reason": "x" * 2001},
        {"selector": Selector(agent="")},
        {"until_ms": 5},
        {"automatic": True},
    ],
    ids=str,
)
def test_nonsense_is_refused_and_changes_nothing(journal, control, nonsense):
    with running_switch(journal, control) as switch:
        with pytest.raises(CommandError):
            trip(switch, **nonsense)
        assert switch.state.in_force == ()


def test_history_tells_the_policy_what_was_tripped_and_lifted(journal, control):
    clock = Clock()
    with running_switch(journal, control, now_ms=clock) as switch:
        trip(switch, selector=Selector(agent="by-hand"))
        made = trip(switch, automatic=True, finding_id="fnd_1", by="auditfuse")
        assert [(p.trip_id, p.mode, p.lifted_at_ms) for p in switch.history()] == [(made.id, "off", None)]
        clock.now_ms += 5000
        request = switch.request_reset([made.id], by="alice", reason="fixed")
        approval = switch.approve_reset(request.id, by="bob", reason="checked")
        assert switch.wait_sealed(approval.id, 5)
        assert [(p.mode, p.lifted_at_ms) for p in switch.history()] == [("on", clock.now_ms)]


def _command(id, *, command="trip", by="alice", **fields):
    return Command(id=id, command=command, at_ms=1, by=by, automatic=False, reason="r", **fields)
