"""What a page says. Pure: the same incident, finding and evidence give the same text.

Everything in it comes from redacted rows. It is still text that an agent may have chosen, on its
way into chats that obey markup and fetch links, so values are made inert first.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, cast

import msgspec

from pipeline.respond.insight import Insight
from pipeline.respond.series import in_words
from schemas.finding import Finding, Severity
from schemas.incident import Incident

TITLE_CHARS = 250
"""The shortest limit on the way: what apprise leaves of a title, for most services."""
NAME_CHARS, DONE_CHARS = 80, 100
VALUE_CHARS = 300
SQL_CHARS = 2_000
SAMPLES = 5
_INERT = str.maketrans({"<": "‹", ">": "›", "@": "＠", "`": "'", "|": "¦"})
_UNSAFE_SQL = re.compile(
    r"[@`]|://|<[^\s=>]|(?!\n)[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]"
)
_TRIP_ID = re.compile(r"(?<=\()trip_[0-9a-z]+(?=\)$)")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")
_SIGNS: dict[Severity, str] = {"critical": "CRITICAL", "warning": "WARNING", "info": "INFO"}
_PREFIX: dict[str, str] = {
    "reopened": "again: ",
    "raised": "now worse: ",
    "reminder": "still unanswered: ",
    "escalated": "unanswered, so you are told: ",
}


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A message to a person."""

    page_id: str
    """Names this message: one attempt or ten, it is the same page."""
    dedup_key: str
    """Names the incident, so that pagers update one alert instead of opening a second."""
    severity: Severity
    event: Literal["trigger", "acknowledge", "resolve"] = "trigger"
    """What becomes of the alert that `dedup_key` names, at services that keep one."""
    title: str
    """One line, at most 1,024 characters, that says it all."""
    body: str
    """Plain text."""
    plot: bytes | None = None
    """PNG, for a target that takes one."""


def render(
    incident: Incident,
    finding: Finding,
    evidence: Mapping[str, object],
    switch_state: str | None,
    *,
    page_id: str,
    change: str = "opened",
    trip: str | None = None,
    late: bool = False,
    insight: Insight | None = None,
    link: str | None = None,
    runbook_url: str | None = None,
    plot: bytes | None = None,
) -> Page:
    """The page of one incident.

    `evidence` may hold `traces`, `sessions`, `rows` (lists of str) and `sql` (str); `switch_state`
    is the agent's kill-switch mode in words; `change` is why it is sent (opened, reopened, raised);
    `trip` what was done about it: `tripped to MODE (TRIP ID)`, `shadow: why`, `not tripped: why`;
    `insight` what the store knows besides, None where that is not known in time; `link` the address of the
    incident page; `runbook_url` where runbooks are; `plot` a picture of it.
    """
    agent, environment = inert(incident.agent_id, NAME_CHARS), inert(incident.environment, NAME_CHARS // 2)
    since = time_text(began_ms(finding, evidence, insight))
    resolved = "resolved before this page could be delivered: " if incident.status == "resolved" else ""
    who = f"{_SIGNS[incident.severity]} {agent} in {environment}: {resolved}{_PREFIX.get(change, '')}"
    what = f"{inert(finding.summary)}{_how_much(finding, insight)}"
    done = f"; since {since}; {_cut(_trip_in_short(trip), DONE_CHARS)}"
    title = f"{who}{_cut(what, max(TITLE_CHARS - len(who) - len(done), 1))}{done}"
    blocks = [
        [f"open: {link}"] if link else [],
        _what(incident, finding, late),
        _samples(evidence),
        _causes(insight),
        _switch(incident, switch_state, trip),
        _next_steps(incident, finding, evidence, runbook_url),
    ]
    return Page(
        page_id=page_id,
        dedup_key=incident.incident_id,
        severity=incident.severity,
        title=_cut(title, TITLE_CHARS),
        body="\n\n".join("\n".join(lines) for lines in blocks if lines),
        plot=plot,
    )


def render_summary(
    page_id: str, severity: Severity, shown: Sequence[Incident], *, live: int, resolved: int
) -> Page:
    """One message for the incidents that the rate limit kept back.

    `shown` are the worst of them; `live` and `resolved` count all of them.
    """
    lines = [
        f"{_SIGNS[incident.severity]} {inert(incident.agent_id)} in {inert(incident.environment)}: "
        f"{_cut(inert(incident.summary), 160)} ({incident.incident_id}, {incident.status})"
        for incident in shown
    ]
    lines.append("all of them: auditfuse incidents list --all")
    parts = [f"and {live:,} more incident{'' if live == 1 else 's'}"] if live else []
    if resolved:
        parts.append(f"{resolved:,} resolved before they could be told")
    return Page(
        page_id=page_id,
        dedup_key=page_id,
        severity=severity,
        title=f"{_SIGNS[severity]} {', '.join(parts)}",
        body="\n".join(lines),
    )


def render_dead_man(page_id: str, target: str, undelivered: int, since_ms: int, error: str) -> Page:
    """Paging itself fails: what the last resort is told."""
    return Page(
        page_id=page_id,
        dedup_key=page_id,
        severity="critical",
        title=(
            f"CRITICAL auditfuse cannot page: {undelivered:,} undelivered at target {target} "
            f"since {time_text(since_ms)} ({error})"
        ),
        body=f"what is open: auditfuse incidents list\ntry the target: auditfuse page test {target}",
    )


def sample(page_id: str, now_ms: int, plot: bytes | None = None) -> Page:
    """What `auditfuse page test` sends."""
    return Page(
        page_id=page_id,
        dedup_key=page_id,
        severity="info",
        title=f"INFO auditfuse test page: nothing is wrong; sent {time_text(now_ms)}",
        body="If a person reads this, pages arrive here. Nothing has to be done.",
        plot=plot,
    )


def began_ms(finding: Finding, evidence: Mapping[str, object], insight: Insight | None) -> int:
    """Since when: the first row that the finding speaks of, as closely as that is known."""
    if insight is not None and insight.series is not None:
        return insight.series.onset_ms
    minute_ms = evidence.get("minute_from_ms")
    return minute_ms if isinstance(minute_ms, int) else finding.window_start_ms


def plot_title(finding: Finding) -> str:
    """What is written over a plot."""
    return f"{inert(finding.detector)}: {inert(finding.agent_id)} in {inert(finding.environment)}"


def runbook_place(finding: Finding, runbook_url: str | None) -> str:
    """Where the runbook is: an address, or the path in the repository."""
    if runbook_url is None or not _PLAIN_NAME.fullmatch(finding.detector):
        return finding.runbook
    return runbook_url + finding.detector


def is_safe_to_paste(sql: str) -> bool:
    """Whether a statement can be shown as it is; changed, it would not be the statement any more."""
    return _UNSAFE_SQL.search(sql) is None


def inert(text: str, limit_chars: int = VALUE_CHARS) -> str:
    """`text` as one line that no chat, mail or terminal obeys: no markup, mention, link or control."""
    visible = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text)
    return _cut(visible.translate(_INERT).replace("://", "[:]//"), limit_chars)


def _what(incident: Incident, finding: Finding, late: bool) -> list[str]:
    facts = "; ".join(f"{inert(name)} {_number(value)}" for name, value in sorted(finding.facts.items()))
    key = "; ".join(f"{inert(name)} {inert(value)}" for name, value in sorted(finding.key.items()))
    lines = [
        f"incident {incident.incident_id} ({incident.status}), findings so far: {incident.findings:,}",
        f"detector {inert(finding.detector)} ({finding.kind}), window {time_text(finding.window_start_ms)} "
        f"to {time_text(finding.window_end_ms)}",
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


def _how_much(finding: Finding, insight: Insight | None) -> str:
    """Against what is normal, where the summary alone has only a limit."""
    if finding.kind != "floor" or insight is None or insight.series is None:
        return ""
    return f" ({in_words(insight.series)})"


def _causes(insight: Insight | None) -> list[str]:
    if insight is None:
        return []
    if not insight.causes:
        return ["likely causes: no change shortly before and no shared failure was found"]
    return ["likely causes, the likeliest first:"] + [
        f"{number}. {inert(cause.what)} ({time_text(cause.at_ms)}): {cause.evidence}"
        for number, cause in enumerate(insight.causes, 1)
    ]


def _switch(incident: Incident, switch_state: str | None, trip: str | None) -> list[str]:
    lines = [f"kill switch: {_trip_words(trip)}"]
    if switch_state:
        lines[0] += f"; state now: {inert(switch_state)}"
    tripped = _TRIP_ID.search(trip or "")
    if tripped is not None:
        trip_id = tripped.group()
        lines.append(
            f"undo: auditfuse killswitch reset {trip_id} --reason WHY (asked by one, approved by another)"
        )
        lines.append(f"allow reads: auditfuse killswitch step-down {trip_id} --reason WHY (one person)")
    elif _PLAIN_NAME.fullmatch(incident.agent_id):
        lines.append(
            f"stop it: auditfuse killswitch trip --agent {incident.agent_id} --mode off --reason WHY"
        )
    else:
        # A name that a shell could obey has no place in a line that people paste into one.
        lines.append("stop it: auditfuse killswitch trip --agent NAME --mode off --reason WHY")
    return lines


def _next_steps(
    incident: Incident, finding: Finding, evidence: Mapping[str, object], runbook_url: str | None
) -> list[str]:
    lines = [f"look: auditfuse incidents show {incident.incident_id}"]
    sql = evidence.get("sql")
    if isinstance(sql, str):
        lines.append(f"query: {sql[:SQL_CHARS]}" if is_safe_to_paste(sql) else "query: see the incident")
    lines.append(f"runbook: {runbook_place(finding, runbook_url)}")
    lines.append(f"take it: auditfuse incidents ack {incident.incident_id}")
    return lines


def _trip_words(trip: str | None) -> str:
    return "nothing was tripped" if trip is None else inert(trip)


def _trip_in_short(trip: str | None) -> str:
    """For the title: whoever reads no more must know whether the agent still acts, and if so why."""
    if trip is not None and trip.startswith("shadow"):
        return "would have tripped (shadow mode)"
    return _trip_words(trip)


def _number(value: float | int | str) -> str:
    if isinstance(value, str):
        return inert(value, 80)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def time_text(at_ms: int) -> str:
    """To the second, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _cut(text: str, limit_chars: int) -> str:
    return text if len(text) <= limit_chars else text[: limit_chars - 1] + "…"
