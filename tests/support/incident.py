"""An incident with a story: a new version of one agent, a partner that fails for everybody, a new credential.

`story_store` seals two hours of it; `story_finding` is what a detector would have said; `story_state` holds
the
incident and its pages.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from support.audit import START_MS, claim, event_meta, origin, row_of
from support.respond import Found, open_state

from detectors.key import Key
from pipeline.audit.control import AppendRow, append_rows
from pipeline.audit.store import CONTROL, FINDINGS, Store
from pipeline.audit.writer import new_writer_id
from pipeline.detect.recent import look_further
from pipeline.respond.config import RespondConfig
from pipeline.respond.messages import Outbox
from pipeline.respond.state import StateDatabase
from schemas.command import Command, Selector
from schemas.finding import Finding
from schemas.record import Payload, Row

AGENT, ENVIRONMENT = "invoice-agent", "production"
ONSET_MS = START_MS + 100 * 60_000
DEPLOYED_MS = ONSET_MS - 4 * 60_000
NOW_MS = ONSET_MS + 12 * 60_000
PARTNER = "crm.example"
TRIP_ID = "trip_5f0c77aa1b2c"


def story_rows(*, with_deployment: bool = True, with_outage: bool = True) -> list[Row]:
    """100 quiet minutes and 10 bad ones, in the order of time."""
    steps = sorted(_steps(with_deployment, with_outage), key=lambda step: step["at_ms"])
    rows: list[Row] = []
    for offset, step in enumerate(steps):
        at_ms = step.pop("at_ms")
        base = event_meta(offset)
        meta = msgspec.structs.replace(
            base,
            start_time_unix_nano=(at_ms - 200) * 1_000_000,
            duration_ns=200_000_000,
            origin=msgspec.structs.replace(
                origin(offset), broker_time_ms=at_ms + 20, ingest_time_ms=at_ms + 40
            ),
            **step,
        )
        payload = Payload(
            input={"invoice": offset}, output={"note": "<EMAIL_ADDRESS:k1.3f9a2c7100d4e8b2>"}, attributes={}
        )
        rows.append(row_of(meta, msgspec.json.encode(payload)))
    return rows


def _steps(with_deployment: bool, with_outage: bool) -> Iterator[dict[str, Any]]:
    plain = {
        "status": "ok",
        "outcome": "ok",
        "target": PARTNER,
        "action": "get_customer",
        "action_kind": "read",
    }
    failed = {"status": "error", "outcome": "error", "error_type": "ConnectError", "http_status": 503}
    for second in range(0, 110 * 60, 12):
        at_ms = START_MS + second * 1000
        is_bad = at_ms >= ONSET_MS
        version = "1.5.0" if with_deployment and at_ms >= DEPLOYED_MS else "1.4.2"
        each = range(6 if is_bad else 1)
        for number in each:
            yield plain | (failed if is_bad else {}) | {"at_ms": at_ms + number, "agent_version": version}
    for other in range(3):
        for second in range(0, 110 * 60, 30):
            at_ms = START_MS + second * 1000 + other
            is_bad = with_outage and at_ms >= ONSET_MS - 60_000 and other < 2
            yield plain | (failed if is_bad else {}) | {"at_ms": at_ms, "agent_id": f"sales-agent-{other}"}


def story_store(root: Path, **story: bool) -> Store:
    """The rows of the story in a store of their own, in eleven segments."""
    store = Store(root)
    rows = story_rows(**story)
    writer = claim(store)
    size = -(-len(rows) // 11)
    for first in range(0, len(rows), size):
        part = rows[first : first + size]
        writer.seal(part, part[-1].offset + 1)
    return store


def story_finding(**changes: Any) -> Finding:
    """What a detector of errors would have said."""
    fields: dict[str, Any] = {
        "detector": "error_spike",
        "kind": "floor",
        "environment": ENVIRONMENT,
        "agent_id": AGENT,
        "key": {},
        "window_start_ms": ONSET_MS,
        "window_end_ms": ONSET_MS + 5 * 60_000,
        "time_base": "append",
        "config_hash": "c0ffee",
        "severity": "critical",
        "summary": "At least 30 steps failed within one minute, at least half of all its steps",
        "facts": {"limit_per_minute": 30, "window_s": 60},
        "may_trip": True,
        "runbook": "docs/runbooks/error_spike.md",
    }
    return Finding(**(fields | changes))


def story_found(**changes: Any) -> Found:
    finding = story_finding(**changes)
    key = Key(finding.environment, finding.agent_id, "")
    condition = "outcome in ('error', 'timeout')"
    sql = look_further(key, condition, finding.window_start_ms, finding.window_end_ms, append_time=True)
    return Found(
        finding,
        evidence={
            "traces": [f"{number:032x}" for number in (81, 82)],
            "sessions": [f"conv_{16:024d}"],
            "rows": [],
            "sql": sql,
        },
    )


def story_state(
    folder: Path, respond: RespondConfig | None = None, **changes: Any
) -> tuple[StateDatabase, str]:
    """A state database with the incident, opened at the onset and tripped; and the incident's id."""
    state = open_state(folder, respond)
    item = story_found(**changes)
    trips = {item.finding.finding_id: f"tripped to read_only ({TRIP_ID})"}
    consumed = state.consume([item], {("t." + "0" * 32, 0): (0, 1)}, ONSET_MS + 62_000, trips)
    return state, consumed.paged[0]


def seal_findings(state: StateDatabase, store: Store, respond: RespondConfig | None = None) -> None:
    """What waits for `_findings`, sealed there; and the trip of the incident's finding in `_control`."""
    outbox = Outbox(state, respond or RespondConfig())
    clock = iter(range(ONSET_MS + 63_000, NOW_MS))
    waiting = outbox.pending_appends(100)
    rows = [AppendRow.of(row) for _, row in waiting]
    append_rows(store, FINDINGS, rows, writer_id=new_writer_id(), now_ms=lambda: next(clock))
    outbox.appended([seq for seq, _ in waiting])
    trip = Command(
        id=TRIP_ID,
        command="trip",
        at_ms=ONSET_MS + 61_000,
        by="auditfuse",
        automatic=True,
        reason="error_spike: at least 30 steps failed within one minute",
        selector=Selector(agent=AGENT),
        mode="read_only",
        finding_id=story_finding().finding_id,
    )
    append_rows(store, CONTROL, [AppendRow.of(trip)], writer_id=new_writer_id(), now_ms=lambda: next(clock))
