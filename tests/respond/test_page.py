"""What pages say: golden texts, and text from agents that no chat obeys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.respond import START_MS, a_finding, found

from pipeline.respond import incidents as grouping
from pipeline.respond.causes import Cause
from pipeline.respond.config import RespondConfig
from pipeline.respond.insight import Insight
from pipeline.respond.page import Page, inert, render, render_dead_man, render_summary, sample
from pipeline.respond.series import Series
from schemas.incident import Incident

GOLDEN = Path(__file__).with_name("golden")
NOW_MS = START_MS + 90_000


def incident_of(**changes: Any) -> Incident:
    episode = grouping.fold(None, a_finding(), NOW_MS, RespondConfig()).episode
    return msgspec.structs.replace(episode.incident, **changes)


def page_of(
    finding_changes: Mapping[str, Any] | None = None,
    incident_changes: Mapping[str, Any] | None = None,
    evidence: Mapping[str, object] | None = None,
    **options: Any,
) -> Page:
    return render(
        incident_of(**(incident_changes or {})),
        a_finding(**(finding_changes or {})),
        found().evidence if evidence is None else evidence,
        options.pop("switch_state", None),
        page_id="inc_x-1/1",
        **options,
    )


INSIGHT = Insight(
    causes=[
        Cause(
            kind="version", what="new version 1.5.0 of the agent", at_ms=START_MS - 240_000,
            evidence="first seen 4 min before it began; in all of what was found", sql="select 1", weight=1,
        ),
        Cause(
            kind="target", what="new target <https://evil.example/@here>", at_ms=START_MS,
            evidence="first seen as it began", sql="select 2", weight=0.5,
        ),
    ],
    series=Series(start_ms=START_MS - 180_000, hits=[1, 2, 3, 212], rows=[9] * 4, onset_ms=START_MS + 7_000),
)  # fmt: skip
LINK = "https://auditfuse.example.com/incidents/inc_x-1"

PAGES = {
    "causes": lambda: page_of(
        trip="tripped to read_only (trip_5f0c77aa1b2c)",
        switch_state="read_only",
        insight=INSIGHT,
        link=LINK,
        runbook_url="https://wiki.example.com/runbooks/",
    ),
    "no-cause": lambda: page_of(insight=Insight(causes=[], series=None), link=LINK),
    "tripped": lambda: page_of(trip="tripped to off (trip_5f0c77aa1b2c)", switch_state="off"),
    "shadow": lambda: page_of(trip="shadow: would have tripped to read_only", switch_state="on"),
    "late": lambda: page_of(trip="not tripped: the finding is late", late=True),
    "raised": lambda: page_of({"key": {"tool": "refund"}}, {"status": "acknowledged"}, change="raised"),
    "resolved": lambda: page_of({}, {"status": "resolved"}, change="reopened"),
    "hostile": lambda: page_of(
        {
            "summary": "<!channel> [pay](https://evil.example/x) `rm -rf`\n\x1b[31m @here \u202egnp.exe",
            "facts": {"target": "https://evil.example/a|b"},
        },
        {"agent_id": "a\nb@everyone", "environment": "<script>"},
        {"sql": "select '@everyone'", "traces": ["<!here>"], "sessions": 7},
    ),
    "summary": lambda: render_summary(
        "summary/hook/1-3", "critical", [incident_of(), incident_of(severity="warning")], live=2, resolved=1
    ),
    "dead-man": lambda: render_dead_man("dead_man/oncall/1", "oncall", 12, START_MS, "HTTP 503"),
    "test": lambda: sample("test/1", START_MS),
}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_golden(name: str) -> None:
    page = PAGES[name]()
    text = f"{page.dedup_key} {page.severity}\n{page.title}\n---\n{page.body}\n"
    path = GOLDEN / f"{name}.txt"
    assert path.exists(), f"no golden page {path.name}; it would be:\n{text}"
    assert text == path.read_text()


@given(st.text())
def test_inert_text_is_one_line_that_nothing_obeys(text: str) -> None:
    shown = inert(text)
    assert not set(shown) & set("<>@`|\n\r\t\x1b\x00\u202e\u200b")
    assert "://" not in shown
    assert len(shown) <= 300


def test_plain_names_and_pseudonyms_stay_readable() -> None:
    assert inert("invoice-agent_v2 (eu)") == "invoice-agent_v2 (eu)"
    assert inert("<EMAIL_ADDRESS:k1.3f9a2c7100d4e8b2>") == "‹EMAIL_ADDRESS:k1.3f9a2c7100d4e8b2›"


def test_long_text_is_cut_to_what_every_service_takes() -> None:
    page = page_of({"summary": "x" * 5_000}, {"agent_id": "y" * 5_000, "environment": "z" * 5_000})
    assert len(page.title) <= 250
    assert page.title.endswith("; nothing was tripped")  # the end is what must not be lost
    assert len(page.body) < 8_000


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("select count(*) from events where a >= 1 and b <> 2 and c < 3", True),
        ("select 'https://evil.example'", False),
        ("select '<!here>'", False),
        ("select 'a\u202eb'", False),
    ],
)
def test_a_query_is_shown_as_it_is_or_not_at_all(sql: str, shown: bool) -> None:
    body = page_of(evidence={"sql": sql}).body
    assert (f"query: {sql}" in body) is shown
    assert ("query: see the incident" in body) is not shown
