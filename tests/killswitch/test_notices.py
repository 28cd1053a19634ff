"""Step-downs, reset requests, steps and limits reach people: once, whatever is down meanwhile."""

import pytest
from pydantic import SecretStr
from support.killswitch import Clock, FakeControl, running_switch, until

from pipeline.killswitch.notices import Notices
from pipeline.killswitch.policy import Decision
from pipeline.killswitch.state import DRILL_ENVIRONMENT
from pipeline.respond import tables
from pipeline.respond.batch import new_message
from pipeline.respond.config import RespondConfig, StateConfig, Target
from pipeline.respond.messages import Outbox
from pipeline.respond.state import StateDatabase, StateUnavailable
from pipeline.switch_notices import NoticeSender
from schemas.command import Selector
from schemas.finding import Finding

AGENT = Selector(agent="invoice-agent", environment="prod")


class Desk:
    """The state database, and what of it would be sent to the one target."""

    def __init__(self, path, clock):
        self.config = RespondConfig(targets=(Target(name="oncall", url=SecretStr("console://")),))
        self.state = StateDatabase(StateConfig(url=SecretStr(f"sqlite:///{path}")), self.config)
        self.state.create_schema()
        self.clock = clock
        self.outbox = Outbox(self.state, self.config)
        self.sender = NoticeSender(self.state, self.config, clock)
        self.is_down = False

    def __call__(self, notice):
        if self.is_down:
            raise StateUnavailable("locked")
        return self.sender(notice)

    def titles(self):
        due = self.outbox.due("oncall", self.clock.now_ms + 1)
        return sorted(self.outbox.content(message).ready.title for message in due)

    def store_finding(self, finding_id, *, paged):
        def transaction(connection):
            row = {"finding_id": finding_id, "incident_id": "inc_1-1", "found_at_ms": 1, "withdrawn": False}
            connection.execute(tables.findings.insert(), [row])
            if paged:
                page = new_message(
                    page_id="inc_1-1/1", target="elsewhere", change="opened", incident_id="inc_1-1",
                    severity_rank=2, now_ms=1, awaits_row=finding_id,
                )  # fmt: skip
                connection.execute(tables.pages.insert(), [page])

        self.state.write(transaction)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def desk(tmp_path, clock):
    return Desk(tmp_path / "state.db", clock)


@pytest.fixture
def start(tmp_path, clock, desk):
    """Starts the switch with its notices, as often as a test likes."""
    control, running = FakeControl(), []

    def stop():
        for context, notices in running:
            notices.stop()
            context.__exit__(None, None, None)
        running.clear()

    def begin():
        stop()
        context = running_switch(tmp_path / "journal", control, now_ms=clock)
        switch = context.__enter__()
        notices = Notices(switch, desk, clock)
        notices.start()
        running.append((context, notices))
        return switch, notices

    yield begin
    stop()


def automatic(switch, finding_id="fnd_1", selector=AGENT):
    return switch.trip(selector, "off", by="auditfuse", reason="r", finding_id=finding_id, automatic=True)


def test_a_step_down_and_a_request_page_the_approvers_with_name_and_reason(start, desk):
    switch, _ = start()
    trip = automatic(switch)
    switch.step_down([trip.id], by="alice", reason="month end, reads are needed")
    until(lambda: len(desk.titles()) == 1)
    assert "stepped down to read_only by alice: month end" in desk.titles()[0]
    request = switch.request_reset([trip.id], by="alice", reason="fixed")
    until(lambda: len(desk.titles()) == 2)
    assert "alice asks to reset to on: fixed" in desk.titles()[0]
    [body] = [
        content.body
        for message in desk.outbox.due("oncall", desk.clock.now_ms + 1)
        if "asks to reset" in (content := desk.outbox.content(message).ready).title
    ]
    assert f"reset --approve {request.id}" in body


def test_a_restart_and_a_database_that_was_away_tell_it_once(start, desk):
    desk.is_down = True
    switch, _ = start()
    assert switch.wait_sealed(switch.step_down([automatic(switch).id], by="alice", reason="r").id, 5)
    switch, _ = start()
    desk.is_down = False
    until(lambda: len(desk.titles()) == 1)
    switch, _ = start()
    switch.request_reset([switch.state.in_force[0].command.id], by="bob", reason="r")
    until(lambda: len(desk.titles()) == 2)


def test_what_is_older_than_a_day_and_what_is_a_drill_is_not_told(start, desk, clock):
    switch, _ = start()
    drill = automatic(switch, "fnd_2", Selector(agent="drill-x", environment=DRILL_ENVIRONMENT))
    switch.step_down([drill.id], by="alice", reason="a drill")
    desk.is_down = True
    trip = automatic(switch)
    old = switch.step_down([trip.id], by="alice", reason="old")
    assert switch.wait_sealed(old.id, 5)
    clock.now_ms += 25 * 3_600_000
    desk.is_down = False
    switch, _ = start()
    switch.request_reset([trip.id], by="bob", reason="r")
    until(lambda: len(desk.titles()) == 1)
    assert "bob asks" in desk.titles()[0]


def finding(agent="invoice-agent"):
    return Finding(
        detector="write_burst", kind="floor", environment="prod", agent_id=agent, key={}, window_start_ms=0,
        window_end_ms=1, time_base="append", config_hash="c", severity="critical", summary="90 writes",
        facts={}, may_trip=True, runbook="r",
    )  # fmt: skip


def decision(**fields):
    plain = {"action": "none", "mode": "on", "selector": AGENT, "reason": "the limit is reached"}
    return Decision(**(plain | fields))


@pytest.mark.parametrize("paged", [False, True], ids=["counted in silence", "a page of its own"])
def test_a_limit_is_told_unless_the_findings_own_page_says_it(start, desk, paged):
    _, notices = start()
    notices.decided(finding(), decision(is_limited=True))
    desk.store_finding(finding().finding_id, paged=paged)
    notices.decided(finding("other"), decision(is_limited=True))
    desk.store_finding(finding("other").finding_id, paged=False)
    until(lambda: any("other" in title for title in desk.titles()), 8)
    told = [title for title in desk.titles() if "invoice-agent in prod: NOT tripped: the limit" in title]
    assert len(told) == (0 if paged else 1)


def test_a_step_is_told_and_a_first_trip_is_left_to_its_page(start, desk):
    _, notices = start()
    notices.decided(finding("first"), decision(action="trip", mode="throttle"))
    notices.decided(finding(), decision(action="trip", mode="approval", stepped_from="throttle"))
    desk.store_finding(finding().finding_id, paged=False)
    until(lambda: bool(desk.titles()), 8)
    [title] = desk.titles()
    assert "stepped from throttle to approval, since it goes on" in title
