"""Puts the evidence bundle together: rows, proofs, findings, plot, timeline and texts. Blocking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import msgspec

from pipeline.audit.checkpoint.note import PublicKey
from pipeline.audit.proof.checkpointed import NotCheckpointed
from pipeline.audit.proof.prove import prove_rows
from pipeline.audit.store import Store
from pipeline.respond import plot_png, plot_svg
from pipeline.respond.evidence.archive import zipped
from pipeline.respond.evidence.rows import Gathered, Kept, gather
from pipeline.respond.evidence.texts import texts
from pipeline.respond.inquiry import look
from pipeline.respond.insight import Insight
from pipeline.respond.moments import marks_of
from pipeline.respond.page import began_ms, plot_title, render, time_text
from pipeline.respond.series import in_words
from pipeline.respond.state import IncidentDetail
from pipeline.respond.timeline import Line, timeline

FORMAT = "auditfuse-incident/1"
LOOK_LIMIT_S = 60.0


class Bundle(NamedTuple):
    """The archive, and what whoever made it should know."""

    content: bytes
    events: int
    is_cut: bool
    """Whether there were more events than it holds."""
    unproved: str | None
    """Why rows are not proved; None where all are."""


def build(
    store: Store,
    detail: IncidentDetail,
    keys: Sequence[PublicKey],
    config_hash: str,
    *,
    with_payload: bool = True,
) -> Bundle:
    """The bundle of an incident, the same bytes as long as nothing that it shows has changed.

    `config_hash` is the configuration of detection as it is now. Raises StoreError, InsightError.
    """
    incident = detail.incident
    until_ms = max(incident.updated_at_ms, detail.lead.finding.window_end_ms)
    insight = look(store, detail.lead, until_ms, LOOK_LIMIT_S)
    lines = timeline(detail, insight)
    rows = gather(
        store, incident.incident_id, {entry.id for entry in insight.record}, with_payload=with_payload
    )
    proofs, unproved = _proofs(store, rows, with_payload)
    files = {
        "incident.json": _json(detail),
        "findings.ndjson": _ndjson(rows.findings),
        "commands.ndjson": _ndjson(rows.commands),
        "events.ndjson": _ndjson(rows.events),
        "configuration.json": _json(_configuration(rows, config_hash)),
        "causes.json": _json(insight.causes),
        **proofs,
        **_plots(detail, insight),
        **({"keys.pub": "".join(f"{key}\n" for key in keys).encode()} if keys else {}),
    }
    facts = {
        "format": FORMAT,
        "incident": incident.incident_id,
        "with_payload": with_payload,
        "events": len(rows.events),
        "events_cut": rows.is_cut,
        "unproved": unproved,
    }
    files |= texts(_context(detail, insight, lines, facts, sorted(files)))
    return Bundle(zipped(incident.incident_id, files, facts), len(rows.events), rows.is_cut, unproved)


def _proofs(store: Store, rows: Gathered, with_payload: bool) -> tuple[dict[str, bytes], str | None]:
    """One proof for each kind of rows; and why one is missing."""
    proofs: dict[str, bytes] = {}
    unproved: list[str] = []
    for name, kept in (("events", rows.events), ("findings", rows.findings), ("commands", rows.commands)):
        if kept:
            try:
                pieces = prove_rows(store, [row.position for row in kept], with_payload=with_payload)
                proofs[f"proofs/{name}.json"] = b"".join(pieces)
            except NotCheckpointed as error:
                unproved.append(f"{name}: {error}")
    return proofs, "; ".join(unproved) or None


def _plots(detail: IncidentDetail, insight: Insight) -> dict[str, bytes]:
    if insight.series is None:
        return {}
    marks, finding = marks_of(insight), detail.lead.finding
    picture = plot_png.draw(insight.series, plot_title(finding), marks)
    plots = {"plot.svg": plot_svg.draw(insight.series, marks, is_file=True).encode()}
    return plots if picture is None else {**plots, "plot.png": picture}


def _configuration(rows: Gathered, config_hash: str) -> dict[str, Any]:
    found = [msgspec.json.decode(row.content) for row in rows.findings]
    hashes = sorted({row["finding"]["config_hash"] for row in found if row["kind"] == "finding"})
    return {
        "auditfuse": version("auditfuse"),
        "detect_config_hashes_of_findings": hashes,
        "detect_config_hash_now": config_hash,
        "is_unchanged": hashes == [config_hash],
    }


def _context(
    detail: IncidentDetail,
    insight: Insight,
    lines: Sequence[Line],
    facts: dict[str, Any],
    files: Sequence[str],
) -> dict[str, Any]:
    incident, lead = detail.incident, detail.lead
    page = render(
        incident, lead.finding, lead.evidence, None, page_id=incident.incident_id, trip=detail.trip,
        late=lead.late, insight=insight,
    )  # fmt: skip
    began = began_ms(lead.finding, lead.evidence, insight)
    return {
        "incident": incident,
        "finding": lead.finding,
        "title": page.title,
        "since": time_text(began),
        "opened": time_text(incident.opened_at_ms),
        "updated": time_text(incident.updated_at_ms),
        "minutes_to_open": max(incident.opened_at_ms - began, 0) / 60_000,
        "done": detail.trip or "nothing was tripped",
        "trips": _trips(lines),
        "figures": in_words(insight.series) if insight.series else None,
        "causes": [(time_text(cause.at_ms), cause) for cause in insight.causes],
        "lines": lines,
        "facts": facts,
        "files": files,
    }


def _trips(lines: Iterable[Line]) -> list[str]:
    """Ids of the trips that the timeline tells of."""
    return [line.id for line in lines if line.what.startswith("trip ") and line.id.startswith("trip_")]


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _ndjson(rows: Iterable[Kept]) -> bytes:
    return b"".join(row.content + b"\n" for row in rows)
