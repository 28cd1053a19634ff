"""What the templates are filled with: words and times, from what was read. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from pipeline.killswitch.state import RANK
from pipeline.killswitch.status import RequestStatus, TripStatus
from pipeline.respond import plot_svg
from pipeline.respond.insight import Entry
from pipeline.respond.moments import marks_of
from pipeline.respond.page import SAMPLES, began_ms, is_safe_to_paste, runbook_place, time_text
from pipeline.respond.public_url import PATH
from pipeline.respond.series import in_words
from pipeline.respond.timeline import timeline
from pipeline.web.orders import can_trip
from pipeline.web.reading import Shown
from pipeline.web.runbook import runbook
from pipeline.web.visitors import Visitor
from schemas.command import MODES, Mode
from schemas.finding import IncidentRow
from schemas.incident import Incident

NARROW, WIDE = 360, 760
MODE_WORDS = {
    "throttle": "throttle: a few actions a minute",
    "approval": "approval: writes need an approval",
    "read_only": "read_only: it may read, not write",
    "off": "off: it may do nothing",
    "on": "on: everything again",
}


def incident_page(
    shown: Shown, visitor: Visitor, *, csrf: str | None, runbook_url: str | None
) -> dict[str, Any]:
    """Everything that `incident.html` needs."""
    detail, insight = shown.detail, shown.insight
    incident, finding, evidence = detail.incident, detail.lead.finding, detail.lead.evidence
    may = {right: visitor.may(right, incident.incident_id) for right in ("request", "trip", "approve")}
    sql = evidence.get("sql")
    return {
        "incident": incident,
        "finding": finding,
        "path": f"{PATH}/{incident.incident_id}",
        "since": time_text(began_ms(finding, evidence, insight)),
        "opened": time_text(incident.opened_at_ms),
        "window": (time_text(finding.window_start_ms), time_text(finding.window_end_ms)),
        "done": detail.trip,
        "late": detail.lead.late,
        "figures": sorted((name, _figure(value)) for name, value in finding.facts.items()),
        "key": sorted(finding.key.items()),
        "samples": [(name, _texts(evidence.get(name))) for name in ("sessions", "traces", "rows", "agents")],
        "sql": sql if isinstance(sql, str) else None,
        "sql_is_plain": isinstance(sql, str) and is_safe_to_paste(sql),
        "insight": insight,
        "causes": [(time_text(cause.at_ms), cause) for cause in insight.causes] if insight else [],
        "plots": _plots(shown),
        "plot_words": in_words(insight.series) if insight and insight.series else None,
        "trips": [_trip(trip) for trip in shown.trips],
        "covering_mode": _covering_mode(shown.trips),
        "requests": [_request(shown, request.id, visitor) for request in shown.requests],
        "can_trip": can_trip(incident),
        "trip_modes": [(mode, MODE_WORDS[mode]) for mode in reversed(MODES[1:])],
        "reset_modes": [(mode, MODE_WORDS[mode]) for mode in MODES[:-1]],
        "timeline": timeline(shown.detail, shown.insight, _further(shown)),
        "is_record_sealed": insight is not None,
        "runbook": runbook(finding.detector),
        "runbook_place": runbook_place(finding, runbook_url),
        "visitor": visitor,
        "may": may,
        "csrf": csrf,
        "link": visitor.secret,
    }


def list_page(incidents: Sequence[Incident], visitor: Visitor) -> dict[str, Any]:
    """Everything that `list.html` needs."""
    rows = [
        (incident, f"{PATH}/{incident.incident_id}", time_text(incident.opened_at_ms))
        for incident in incidents
    ]
    return {"open": [row for row in rows if row[0].status != "resolved"],
            "over": [row for row in rows if row[0].status == "resolved"], "visitor": visitor}  # fmt: skip


def _further(shown: Shown) -> list[Entry]:
    """What the timeline should tell before it is sealed."""
    changes = [_entry(row, row.status) for row in shown.unsealed]
    trips = [_entry(trip, f"trip to {trip.mode}") for trip in shown.trips]
    requests = [_entry(request, f"reset request to {request.mode}") for request in shown.requests]
    return [*changes, *trips, *requests]


def _entry(one: IncidentRow | TripStatus | RequestStatus, what: str) -> Entry:
    return Entry(at_ms=one.at_ms, what=what, by=one.by, details=one.reason, id=one.id)


def _plots(shown: Shown) -> list[tuple[str, str]]:
    """(which screen, SVG): drawn for both, since text in a scaled drawing is too small on a phone."""
    if shown.insight is None or shown.insight.series is None:
        return []
    marks = marks_of(shown.insight)
    return [
        (name, plot_svg.draw(shown.insight.series, marks, width=width, name=name))
        for name, width in (("narrow", NARROW), ("wide", WIDE))
    ]


def _covering_mode(trips: Sequence[TripStatus]) -> Mode:
    """The mode that the agent is at: the most restrictive of its trips."""
    modes: list[Mode] = ["on", *(trip.mode for trip in trips)]
    return max(modes, key=lambda mode: RANK[mode])


def _trip(trip: TripStatus) -> dict[str, Any]:
    selector = trip.selector
    named = (("environment", selector.environment), ("version", selector.version), ("tool", selector.tool))
    where = ", ".join(f"{name} {value}" for name, value in named if value is not None)
    whom = "this agent" if selector.agent is not None else "every agent"
    return {
        "status": trip,
        "covers": f"{whom}{', ' + where if where else ', everywhere'}",
        "at": time_text(trip.at_ms),
        "until": time_text(trip.until_ms) if trip.until_ms is not None else None,
        "can_step_down": trip.automatic and RANK[trip.mode] > RANK["read_only"],
    }


def _request(shown: Shown, request_id: str, visitor: Visitor) -> dict[str, Any]:
    request = next(one for one in shown.requests if one.id == request_id)
    own = visitor.name is not None and visitor.name.strip().casefold() == request.by.strip().casefold()
    return {"status": request, "at": time_text(request.at_ms), "is_own": own}


def _texts(values: object) -> list[str]:
    """The first of a list of evidence, and how many more there are."""
    if not isinstance(values, (list, tuple)):
        return []
    texts = [str(value) for value in cast("Iterable[object]", values)]
    more = [f"and {len(texts) - SAMPLES:,} more"] if len(texts) > SAMPLES else []
    return texts[:SAMPLES] + more


def _figure(value: float | int | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
