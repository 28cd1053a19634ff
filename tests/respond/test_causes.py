"""The likeliest causes: what is one, what is none, in which order; and that asking for them has an end."""

from pathlib import Path

import pytest
from support.incident import (
    AGENT,
    DEPLOYED_MS,
    NOW_MS,
    ONSET_MS,
    TRIP_ID,
    seal_findings,
    story_found,
    story_state,
    story_store,
)

from pipeline.audit.store import Store
from pipeline.respond.causes import KNOWN_ROWS, Cause, Shared, Value, rank
from pipeline.respond.inquiry import InsightError, hit_condition, look
from pipeline.respond.insight import Insight
from pipeline.respond.moments import marks_of
from pipeline.respond.series import in_words
from schemas.finding import FindingRow

MINUTE_MS = 60_000
EARLIER = {
    column: list(range(KNOWN_ROWS)) for column in ("agent_version", "target", "action", "principal", "model")
}


def ranked(
    *values: Value, shared: tuple[Shared, ...] = (), hits: int = 100, known: bool = True
) -> list[Cause]:
    return rank(
        values,
        shared,
        onset_ms=ONSET_MS,
        hits=hits,
        rows_before=EARLIER if known else {},
        whose="agent_id = 'a'",
        others="true",
    )


def version(hits: int = 100, minutes_before: float = 4, column: str = "agent_version") -> Value:
    return Value(column, "1.5.0", int(ONSET_MS - minutes_before * MINUTE_MS), 500, hits)


def partner(**changes: object) -> Shared:
    return Shared("target", "crm.example", 100, 3, 2, 60, 24, ONSET_MS, 0.0)._replace(**changes)


def test_a_new_version_shortly_before_is_a_cause_with_its_time_and_its_query():
    (cause,) = ranked(version())
    assert (cause.kind, cause.what) == ("version", "new version 1.5.0 of the agent")
    assert cause.at_ms == ONSET_MS - 4 * MINUTE_MS
    assert cause.evidence == "first seen 4 min before it began; in all of what was found"
    assert cause.sql == (
        "select * from events where agent_id = 'a' and agent_version = '1.5.0' order by end_time limit 100"
    )


@pytest.mark.parametrize(
    "one",
    [
        version(minutes_before=121),  # long before
        version(minutes_before=-1),  # after it began
        version(hits=19),  # a canary that has its share of the hits and no more
    ],
)
def test_what_explains_little_is_no_cause(one: Value):
    assert ranked(one) == []


def test_of_an_agent_that_is_new_itself_nothing_is_a_change():
    assert ranked(version(), known=False) == []


def test_the_nearer_change_and_the_larger_share_come_first():
    causes = ranked(
        version(column="target", minutes_before=60),
        version(column="principal", minutes_before=2),
        version(column="action", minutes_before=2, hits=30),
        version(minutes_before=2),
    )
    assert [cause.kind for cause in causes] == ["version", "principal", "tool"]


def test_what_fails_for_others_too_is_told_once_and_outweighs_a_deployment():
    causes = ranked(version(), shared=(partner(), partner(column="action", value="get_customer")))
    assert [cause.kind for cause in causes] == ["dependency", "version"]
    assert causes[0].what == "target crm.example fails for 2 of 3 other agents too"


def test_what_always_failed_for_others_is_no_cause():
    assert ranked(shared=(partner(earlier_share=0.9), partner(failing=0))) == []


def test_values_are_quoted_in_queries():
    (cause,) = ranked(version()._replace(value="1.5'; drop table events; --"))
    assert "agent_version = '1.5''; drop table events; --'" in cause.sql


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, FindingRow, Insight]:
    folder = tmp_path_factory.mktemp("story")
    store = story_store(folder / "store")
    state, incident_id = story_state(folder)
    seal_findings(state, store)
    lead = state.incident(incident_id).lead
    return store, lead, look(store, lead, NOW_MS, 30)


def test_a_store_is_asked_for_causes_counts_and_record(told: tuple[Store, FindingRow, Insight]):
    _, _, insight = told
    assert [(cause.kind, cause.at_ms // MINUTE_MS) for cause in insight.causes] == [
        ("dependency", ONSET_MS // MINUTE_MS - 1),
        ("version", DEPLOYED_MS // MINUTE_MS),
    ]
    assert insight.series is not None
    assert in_words(insight.series) == "30 in the worst minute, 0 a minute in the hour before"
    assert insight.series.onset_ms == ONSET_MS + 20
    assert sum(insight.series.hits) == 300
    assert {entry.id.partition("_")[0] for entry in insight.record} == {"trip", "inc"}
    assert [mark.label for mark in marks_of(insight)] == ["fails for others", "tripped"]
    assert TRIP_ID in {entry.id for entry in insight.record}


def test_asking_has_an_end(told: tuple[Store, FindingRow, Insight]):
    store, lead, _ = told
    with pytest.raises(InsightError):
        look(store, lead, NOW_MS, 1e-6)


def test_a_store_that_is_not_there_is_said_to_be(tmp_path: Path):
    state, incident_id = story_state(tmp_path)
    with pytest.raises(InsightError, match="cannot be asked"):
        look(Store(tmp_path / "none"), state.incident(incident_id).lead, NOW_MS, 1)


def test_what_the_finding_speaks_of_is_read_from_its_own_query():
    sql = str(story_found().evidence["sql"])
    assert hit_condition(sql) == (
        f"environment = 'production' and agent_id = '{AGENT}' and outcome in ('error', 'timeout')"
    )
    assert hit_condition("select 1") is None
    assert hit_condition(sql + "; drop table x") is None
