"""An incident line by line: found, changed, told, ordered. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pipeline.respond.insight import Entry, Insight
from pipeline.respond.page import began_ms, time_text
from pipeline.respond.state import IncidentDetail


class Line(NamedTuple):
    """One line."""

    at_ms: int
    time: str
    what: str
    by: str
    details: str
    id: str


def timeline(detail: IncidentDetail, insight: Insight | None, further: Iterable[Entry] = ()) -> list[Line]:
    """What happened, the oldest first. `further` is what is not sealed yet; what is known twice is told
    once."""
    lead = detail.lead
    began = began_ms(lead.finding, lead.evidence, insight)
    lines = {"began": line(began, "it began", "auditfuse", "the first event that was found", "began")}
    for entry in (*(insight.record if insight else ()), *further):
        lines.setdefault(entry.id, line(entry.at_ms, entry.what, entry.by, entry.details, entry.id))
    if len(lines) == 1:  # the record cannot be read now: what the incident itself says
        opened = detail.incident.opened_at_ms
        lines["opened"] = line(opened, "open", "auditfuse", detail.incident.summary, "opened")
    for page in detail.pages:
        told = _told(page)
        lines[told.id] = told
    return sorted(lines.values())


def line(at_ms: int, what: str, by: str, details: str, one_id: str) -> Line:
    """A line with its time in words."""
    return Line(at_ms, time_text(at_ms), what.replace("_", " "), by, details, one_id)


def _told(page: Mapping[str, Any]) -> Line:
    one_id = f"page/{page['page_id']}/{page['target']}"
    what = f"page ({page['change']}) to {page['target']}"
    if page["state"] == "sent":
        told_in = f"told in {page['told_in']}" if page["told_in"] else "delivered"
        return line(page["sent_at_ms"] or page["created_at_ms"], what, "auditfuse", told_in, one_id)
    error = f": {page['last_error']}" if page["last_error"] else ""
    details = f"{page['state']}, attempts {page['attempts']}{error}"
    return line(page["created_at_ms"], what, "auditfuse", details, one_id)
