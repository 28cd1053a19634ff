"""The state database: one transaction for ends, findings, incidents and outbox."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.respond import MINUTE_MS, START_MS, Found, found, open_state

from pipeline.errors import StoreError
from pipeline.respond.config import RespondConfig
from pipeline.respond.messages import Outbox
from pipeline.respond.state import ConsumedElsewhere, StateDatabase
from schemas.finding import FindingRow, IncidentRow, WithdrawalRow

PART = ("traces.0123456789abcdef0123456789abcdef", 0)
NOW_MS = START_MS + 10_000
pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDatabase]:
    database = open_state(tmp_path)
    yield database
    database.close()


def outbox(state: StateDatabase) -> Outbox:
    return Outbox(state, RespondConfig())


def test_ends_move_with_what_was_found(state: StateDatabase) -> None:
    consumed = state.consume([found()], {PART: (0, 40)}, NOW_MS)
    assert state.sealed_ends() == {PART: 40}
    assert len(consumed.findings) == 1
    assert consumed.messages == 1
    [incident] = state.incidents()
    assert (incident.status, incident.severity, incident.findings) == ("open", "critical", 1)
    assert incident.summary == "212 writes in a minute, normal is 3"


def test_rows_consumed_elsewhere_change_nothing(state: StateDatabase) -> None:
    state.consume([], {PART: (0, 40)}, NOW_MS)
    other = ("traces.0123456789abcdef0123456789abcdef", 1)
    with pytest.raises(ConsumedElsewhere):
        state.consume([found()], {other: (0, 7), PART: (30, 50)}, NOW_MS)
    assert state.sealed_ends() == {PART: 40}
    assert state.incidents() == []
    assert outbox(state).pending_appends(10) == []


def test_a_known_finding_is_left_out(state: StateDatabase) -> None:
    state.consume([found()], {PART: (0, 40)}, NOW_MS)
    again = state.consume([found(), found(window=1), found(window=1)], {PART: (40, 40)}, NOW_MS)
    assert [row.finding.window_start_ms for row in again.findings] == [START_MS + MINUTE_MS]
    assert state.incidents()[0].findings == 2


def test_findings_and_incident_changes_go_to_the_store_in_order(state: StateDatabase) -> None:
    consumed = state.consume([found(), found(window=1)], {PART: (0, 40)}, NOW_MS)
    rows = [row for _, row in outbox(state).pending_appends(10)]
    assert [type(row) for row in rows] == [FindingRow, IncidentRow, FindingRow]
    assert isinstance(rows[1], IncidentRow)
    assert rows[1].status == "open"
    assert rows[1].incident_id == consumed.findings[0].incident_id == rows[1].incident_key + "-1"


def test_a_second_finding_makes_no_second_page_unless_it_is_worse(state: StateDatabase) -> None:
    assert state.consume([found(severity="warning")], {}, NOW_MS).messages == 1
    assert state.consume([found(window=1, severity="warning")], {}, NOW_MS).messages == 0
    assert state.consume([found(window=2, severity="critical")], {}, NOW_MS).messages == 1
    assert state.consume([found(window=3, severity="warning")], {}, NOW_MS).messages == 0
    [incident] = state.incidents()
    assert (incident.severity, incident.findings) == ("critical", 4)


def test_opened_and_raised_in_one_transaction_is_one_page(state: StateDatabase) -> None:
    batch = [found(severity="warning"), found(window=1, severity="critical")]
    assert state.consume(batch, {}, NOW_MS).messages == 1
    [message] = outbox(state).due("console", NOW_MS + 60_000)
    assert (message.change, message.severity_rank) == ("opened", 2)


def test_a_finding_soon_after_resolution_reopens_and_a_later_one_opens(state: StateDatabase) -> None:
    [first] = state.consume([found()], {}, NOW_MS).paged
    state.resolve(first, "maria", "fixed", NOW_MS + 1)
    assert state.consume([found(window=1)], {}, NOW_MS + 60_000).paged == [first]
    assert state.incidents()[0].status == "open"
    state.resolve(first, "maria", "fixed again", NOW_MS + 70_000)
    [second] = state.consume([found(window=90)], {}, NOW_MS + 70_001 + 3_600_000).paged
    assert second == first.removesuffix("-1") + "-2"
    assert len(state.incidents(include_resolved=True)) == 2


def test_acknowledging_and_resolving_are_told_to_the_store_once(state: StateDatabase) -> None:
    [incident_id] = state.consume([found()], {}, NOW_MS).paged
    assert state.acknowledge(incident_id, "maria", "looking", NOW_MS + 1).status == "acknowledged"
    assert state.acknowledge(incident_id, "otto", "me too", NOW_MS + 2).status == "acknowledged"
    assert state.resolve(incident_id, "maria", "rolled back", NOW_MS + 3).status == "resolved"
    assert state.resolve(incident_id, "maria", "rolled back", NOW_MS + 4).status == "resolved"
    rows = [row for _, row in outbox(state).pending_appends(10) if isinstance(row, IncidentRow)]
    assert [(row.status, row.by) for row in rows[1:]] == [("acknowledged", "maria"), ("resolved", "maria")]
    assert len({row.id for row in rows}) == 3
    with pytest.raises(StoreError, match="no incident inc_nowhere"):
        state.resolve("inc_nowhere", "maria", "", NOW_MS)


def test_quiet_incidents_recover_in_the_detectors_time(state: StateDatabase) -> None:
    [incident_id] = state.consume([found()], {}, NOW_MS).paged
    hours_later_ms = NOW_MS + 7_200_000
    assert state.resolve_quiet(hours_later_ms, detector_now_ms=START_MS + MINUTE_MS) == []
    assert state.resolve_quiet(hours_later_ms, detector_now_ms=hours_later_ms) == [incident_id]
    assert state.resolve_quiet(hours_later_ms, detector_now_ms=hours_later_ms) == []
    assert state.incidents() == []


def test_what_was_tripped_is_kept_with_the_incident(state: StateDatabase) -> None:
    item = found()
    trips = {item.finding.finding_id: "tripped to off (trip_1a)"}
    [incident_id] = state.consume([item], {}, NOW_MS, trips).paged
    assert state.incident(incident_id).trip == "tripped to off (trip_1a)"
    state.consume([found(window=1)], {}, NOW_MS)
    assert state.incident(incident_id).trip == "tripped to off (trip_1a)"


TRIPPED, NO_MORE = "tripped to off (trip_1)", "not tripped: it is under an automatic trip already"


@pytest.mark.parametrize("said", [(TRIPPED, NO_MORE), (NO_MORE, TRIPPED)])
@pytest.mark.parametrize("at_once", [True, False])
def test_that_it_was_tripped_outweighs_that_a_later_finding_trips_no_more(
    state: StateDatabase, said: tuple[str, str], at_once: bool
) -> None:
    pair = [found(window=0), found(window=1)]
    trips = {one.finding.finding_id: text for one, text in zip(pair, said, strict=True)}
    for part in [pair] if at_once else [[one] for one in pair]:
        state.consume(part, {PART: (0, 0)}, NOW_MS, trips)
    assert state.incident(state.incidents()[0].incident_id).trip == TRIPPED


def test_a_reopened_incident_tells_what_is_done_now(state: StateDatabase) -> None:
    first, second = found(window=0), found(window=1)
    state.consume([first], {PART: (0, 0)}, NOW_MS, {first.finding.finding_id: TRIPPED})
    incident_id = state.incidents()[0].incident_id
    state.resolve(incident_id, "alice", "fixed", NOW_MS)
    state.consume([second], {PART: (0, 0)}, NOW_MS, {second.finding.finding_id: NO_MORE})
    assert state.incident(incident_id).trip == NO_MORE


def test_a_restart_finds_everything(tmp_path: Path) -> None:
    first = open_state(tmp_path)
    [incident_id] = first.consume([found()], {PART: (0, 40)}, NOW_MS).paged
    first.close()
    second = open_state(tmp_path)
    assert second.sealed_ends() == {PART: 40}
    detail = second.incident(incident_id)
    assert detail.lead.finding == found().finding
    assert detail.lead.evidence == found().evidence
    assert second.undelivered() == {incident_id: 1}
    second.close()


def test_two_processes_cannot_consume_the_same_rows(tmp_path: Path) -> None:
    databases = [open_state(tmp_path) for _ in range(4)]
    outcomes: list[str] = []

    def consume(state: StateDatabase) -> None:
        try:
            state.consume([found()], {PART: (0, 40)}, NOW_MS)
            outcomes.append("consumed")
        except ConsumedElsewhere:
            outcomes.append("elsewhere")

    threads = [threading.Thread(target=consume, args=(state,)) for state in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["consumed", "elsewhere", "elsewhere", "elsewhere"]
    assert len(outbox(databases[0]).pending_appends(10)) == 2
    for state in databases:
        state.close()


def test_ten_thousand_findings_are_consumed_at_once(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    batch = [found(f"agent-{n % 2_000}", window=n // 2_000) for n in range(10_000)]
    consumed = state.consume(batch, {PART: (0, 10_000)}, NOW_MS)
    assert (len(consumed.findings), len(consumed.paged)) == (10_000, 2_000)
    assert sum(incident.findings for incident in state.incidents(limit=5_000)) == 10_000
    state.close()


def test_a_finding_in_shadow_is_kept_and_tells_nobody(state: StateDatabase) -> None:
    consumed = state.consume([found(shadow=True)], {PART: (0, 40)}, NOW_MS)
    assert (consumed.messages, consumed.paged, state.incidents()) == (0, [], [])
    [(_, row)] = outbox(state).pending_appends(10)
    assert isinstance(row, FindingRow)
    assert (row.finding.shadow, row.incident_id) == (True, "")


def test_an_incident_is_resolved_once_all_its_findings_are_withdrawn(state: StateDatabase) -> None:
    first, second = found(), found(window=1)
    state.consume([first, second], {PART: (0, 40)}, NOW_MS)
    state.consume([replace(first, withdrawn="approved")], {PART: (40, 50)}, NOW_MS)
    assert state.incidents()[0].status == "open"
    state.consume([replace(second, withdrawn="approved")], {PART: (50, 60)}, NOW_MS)
    [incident] = state.incidents(include_resolved=True)
    assert incident.status == "resolved"
    rows = [row for _, row in outbox(state).pending_appends(10)]
    assert [row.finding_id for row in rows if isinstance(row, WithdrawalRow)] == [
        first.finding.finding_id,
        second.finding.finding_id,
    ]
    assert isinstance(rows[-1], IncidentRow)
    assert rows[-1].reason == "resolved: withdrawn: approved"


def test_a_withdrawal_counts_once_and_only_of_what_is_known(state: StateDatabase) -> None:
    state.consume([replace(found(), withdrawn="approved")], {PART: (0, 40)}, NOW_MS)
    assert outbox(state).pending_appends(10) == []
    # Found and withdrawn in one transaction, and told again after a restart.
    both = [found(), replace(found(), withdrawn="approved")]
    state.consume(both, {PART: (40, 50)}, NOW_MS)
    state.consume(both, {PART: (50, 60)}, NOW_MS)
    kinds = [row.kind for _, row in outbox(state).pending_appends(10)]
    assert kinds == ["finding", "incident", "withdrawal", "incident"]


def test_a_verdict_can_be_given_when_and_after_it_is_resolved(state: StateDatabase) -> None:
    state.consume([found()], {PART: (0, 40)}, NOW_MS)
    [incident] = state.incidents()
    assert state.resolve(incident.incident_id, "maria", "", NOW_MS).verdict is None
    assert state.resolve(incident.incident_id, "maria", "a test", NOW_MS, "expected").verdict == "expected"
    assert state.resolve(incident.incident_id, "maria", "", NOW_MS).verdict == "expected"
    state.consume([found(window=1)], {PART: (40, 50)}, NOW_MS + MINUTE_MS)
    assert state.incidents()[0].verdict is None, "it is open again"


def outage(*agents: str, window: int = 0) -> Found:
    one = found("*", window, detector="shared_dependency", severity="critical", key={"tool": "erp"})
    return replace(one, evidence={"agents": list(agents)})


def test_an_outage_is_one_incident_and_not_one_of_each_agent(state: StateDatabase) -> None:
    errors = [found(agent, detector="error_spike") for agent in ("one", "two", "three")]
    consumed = state.consume([*errors, outage("one", "two")], {PART: (0, 40)}, NOW_MS)
    assert {incident.agent_id: incident.findings for incident in state.incidents()} == {"*": 3, "three": 1}
    assert consumed.messages == 2
    # One that comes later is part of it too; other trouble of the same agents is not excused.
    later = [found("one", 3, detector="error_spike"), found("one", 3, detector="auth_failure")]
    state.consume(later, {PART: (40, 50)}, NOW_MS + MINUTE_MS)
    assert {(one.agent_id, one.detector, one.findings) for one in state.incidents()} == {
        ("*", "shared_dependency", 4),
        ("three", "error_spike", 1),
        ("one", "auth_failure", 1),
    }


def test_an_outage_that_is_over_explains_nothing_more(state: StateDatabase) -> None:
    state.consume([outage("one")], {PART: (0, 40)}, NOW_MS)
    state.resolve(state.incidents()[0].incident_id, "maria", "", NOW_MS)
    state.consume([found("one", detector="error_spike")], {PART: (40, 50)}, NOW_MS)
    assert [one.agent_id for one in state.incidents()] == ["one"]


def test_silence_is_over_when_the_detector_says_so(state: StateDatabase) -> None:
    silent, burst = found(detector="silence"), found()
    state.consume([silent, burst], {PART: (0, 40)}, NOW_MS)
    state.resolve_quiet(NOW_MS + 10**9)
    assert [one.detector for one in state.incidents()] == ["silence"]
    state.consume([replace(silent, withdrawn="it speaks again")], {PART: (40, 50)}, NOW_MS)
    state.resolve_quiet(NOW_MS + 59_000)
    assert [one.detector for one in state.incidents()] == ["silence"]
    state.resolve_quiet(NOW_MS + 60_000)
    assert state.incidents() == []
