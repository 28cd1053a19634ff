"""What a page says. Pure: the same incident, finding and evidence give the same text.

Everything in it comes from redacted rows. It is still text that an agent may have chosen, on its
way into chats that obey markup and fetch links, so values are made inert first.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

import msgspec

from pipeline.respond.incidents import ChangeKind
from schemas.finding import Finding, Severity
from schemas.incident import Incident

TITLE_CHARS = 1_024
"""The shortest limit of the services (PagerDuty's summary)."""
VALUE_CHARS = 300
SQL_CHARS = 2_000
SAMPLES = 5
_INERT = str.maketrans({"<": "‹", ">": "›", "@": "＠", "`": "'", "|": "¦"})
_UNSAFE_SQL = re.compile(r"[@`]|://|<[^\s=>]|(?!\n)[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
_SIGNS: dict[Severity, str] = {"critical": "CRITICAL", "warning": "WARNING", "info": "INFO"}
_PREFIX: dict[str, str] = {"reopened": "again: ", "raised": "now worse: "}


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A message to a person."""

    page_id: str
    """Names this message: one attempt or ten, it is the same page."""
    dedup_key: str
    """Names the incident, so that pagers update one alert instead of opening a second."""
    severity: Severity
    title: str
    """One line, at most 1,024 characters, that says it all."""
    body: str
    """Plain text."""


def render(
    incident: Incident,
    finding: Finding,
    evidence: Mapping[str, object],
    switch_state: str | None,
    *,
    page_id: str,
    change: ChangeKind = "opened",
    trip: str | None = None,
    late: bool = False,
) -> Page:
    """The page of one incident.

    `evidence` may hold `traces`, `sessions`, `rows` (lists of str) and `sql` (str); `switch_state`
    is the agent's kill-switch mode in words; `trip` what the finding did to it (`tripped`,
    `shadow`, `not tripped: why`).
    """
    agent, environment = inert(incident.agent_id), inert(incident.environment)
    since = _time(finding.window_start_ms)
    resolved = "resolved before this page could be delivered: " if incident.status == "resolved" else ""
    title = (
        f"{_SIGNS[incident.severity]} {agent} in {environment}: {resolved}{_PREFIX.get(change, '')}"
        f"{inert(finding.summary)}; since {since}; {_trip_words(trip)}"
    )
    blocks = [
        _what(incident, finding, late),
        _samples(evidence),
        _switch(agent, switch_state, trip),
        _next_steps(incident, finding, evidence),
    ]
    return Page(
        page_id=page_id,
        dedup_key=incident.incident_id,
        severity=incident.severity,
        title=_cut(title, TITLE_CHARS),
        body="\n\n".join("\n".join(lines) for lines in blocks if lines),
    )


def render_summary(page_id: str, severity: Severity, told: Sequence[Incident], resolved: int) -> Page:
    """One message for the incidents that the rate limit kept back, worst first."""
    still = [incident for incident in told if incident.status != "resolved"]
    count = "incident" if len(still) == 1 else "incidents"
    title = f"{_SIGNS[severity]} and {len(still):,} more {count}"
    if resolved:
        title += f", {resolved:,} resolved before they could be told"
    lines = [
        f"{_SIGNS[incident.severity]} {inert(incident.agent_id)} in {inert(incident.environment)}: "
        f"{_cut(inert(incident.summary), 160)} ({incident.incident_id})"
        for incident in still[:20]
    ]
    lines.append("all of them: auditfuse incidents list")
    return Page(
        page_id=page_id, dedup_key=page_id, severity=severity, title=title, body="\n".join(lines)
    )


def render_dead_man(page_id: str, target: str, undelivered: int, since_ms: int, error: str) -> Page:
    """Paging itself fails: what the last resort is told."""
    return Page(
        page_id=page_id,
        dedup_key=page_id,
        severity="critical",
        title=(
            f"CRITICAL auditfuse cannot page: {undelivered:,} undelivered at target {target} "
            f"since {_time(since_ms)} ({error})"
        ),
        body=f"what is open: auditfuse incidents list\ntry the target: auditfuse page test {target}",
    )


def inert(text: str, limit_chars: int = VALUE_CHARS) -> str:
    """`text` as one line that no chat, mail or terminal obeys: no markup, mention, link or control."""
    visible = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text)
    return _cut(visible.translate(_INERT).replace("://", "[://]"), limit_chars)


def _what(incident: Incident, finding: Finding, late: bool) -> list[str]:
    facts = "; ".join(f"{inert(name)} {_number(value)}" for name, value in sorted(finding.facts.items()))
    key = "; ".join(f"{inert(name)} {inert(value)}" for name, value in sorted(finding.key.items()))
    lines = [
        f"incident {incident.incident_id} ({incident.status}), findings so far: {incident.findings:,}",
        f"detector {inert(finding.detector)} ({finding.kind}), window {_time(finding.window_start_ms)} "
        f"to {_time(finding.window_end_ms)}",
    ]
    if key:
        lines.append(f"where: {key}")
    if facts:
        lines.append(f"numbers: {facts}")
    if late:
        lines.append("found in events that came late: this never trips anything")
    return lines


def _samples(evidence: Mapping[str, object]) -> list[str]:
    lines: list[str] = []
    for name in ("sessions", "traces", "rows"):
        values = evidence.get(name)
        if isinstance(values, (list, tuple)) and values:
            shown = [inert(str(value), 80) for value in cast("Sequence[object]", values)]
            more = f" and {len(shown) - SAMPLES:,} more" if len(shown) > SAMPLES else ""
            lines.append(f"{name}: {', '.join(shown[:SAMPLES])}{more}")
    return lines


def _switch(agent: str, switch_state: str | None, trip: str | None) -> list[str]:
    lines = [f"kill switch: {_trip_words(trip)}"]
    if switch_state:
        lines[0] += f"; state now: {inert(switch_state)}"
    if _tripped(trip):
        lines.append(f"undo: auditfuse killswitch reset --agent {agent} --reason WHY (two people)")
    else:
        lines.append(f"stop it: auditfuse killswitch trip --agent {agent} --mode off --reason WHY")
    return lines


def _next_steps(incident: Incident, finding: Finding, evidence: Mapping[str, object]) -> list[str]:
    lines = [f"look: auditfuse incidents show {incident.incident_id}"]
    sql = evidence.get("sql")
    if isinstance(sql, str):
        # A statement that had to be changed to be safe to show would not be the statement any more.
        lines.append("query: see the incident" if _UNSAFE_SQL.search(sql) else f"query: {sql[:SQL_CHARS]}")
    lines.append(f"runbook: {finding.runbook}")
    lines.append(f"take it: auditfuse incidents ack {incident.incident_id}")
    return lines


def _tripped(trip: str | None) -> bool:
    return trip is not None and trip.startswith("tripped")


def _trip_words(trip: str | None) -> str:
    if trip is None:
        return "nothing was tripped"
    return "would have tripped (shadow mode)" if trip == "shadow" else inert(trip)


def _number(value: float | int | str) -> str:
    if isinstance(value, str):
        return inert(value, 80)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _cut(text: str, limit_chars: int) -> str:
    return text if len(text) <= limit_chars else text[: limit_chars - 1] + "…"
