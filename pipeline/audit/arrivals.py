"""Which fields arrive of each agent, and which detectors are blind for want of one. SQL over `events`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pipeline.audit.query import Query

FIELDS = (
    *("trace_id", "span_id", "parent_span_id", "session_id", "request_id", "agent_version", "config_version"),
    *("principal", "credential_id", "credential_expires", "scopes", "end_user", "operation", "action"),
    *(
        "action_kind",
        "target",
        "tool_call_id",
        "model",
        "approval_id",
        "approval_status",
        "status",
        "outcome",
    ),
    *("input_tokens", "output_tokens", "input", "output"),
)
_FAILURE_FIELDS = ("http_status", "error_type")
"""Expected of failed events only; either one tells what kind of failure it was."""
_ARRIVED = {
    "scopes": "len(scopes) > 0",
    "span_id": "NOT list_contains(flags, 'span_id_derived')",
    "action_kind": "action_kind <> 'unknown'",
    "status": "status <> 'unset'",
    # Derived from the other three: without any of them it is only presumed.
    "outcome": "status <> 'unset' OR http_status IS NOT NULL OR error_type IS NOT NULL",
    "input": "input IS NOT NULL AND input::VARCHAR <> 'null'",
    "output": "output IS NOT NULL AND output::VARCHAR <> 'null'",
}


class AgentFields(msgspec.Struct, frozen=True, kw_only=True):
    """What arrives of one agent in one environment from one source."""

    environment: str
    agent_id: str
    source: str
    bound: bool
    events: int
    fields: dict[str, float | None]
    """Share of its events that carry the field, 0 to 1. None: no event yet of which it is expected."""
    blind: dict[str, list[str]]
    """Detectors that can see nothing of this agent → the fields that they lack."""


def agent_fields(catalog: Query, needs: Mapping[str, Sequence[str]]) -> list[AgentFields]:
    """One entry an agent, environment and source, by name. `needs`: detector → the fields it needs."""
    found: list[AgentFields] = []
    for result in catalog.run(_sql()):
        for environment, agent_id, source, bound, events, *shares in result.fetchall():
            fields = dict(zip([*FIELDS, *_FAILURE_FIELDS], shares, strict=True))
            found.append(
                AgentFields(
                    environment=environment,
                    agent_id=agent_id,
                    source=source,
                    bound=bound,
                    events=events,
                    fields=fields,
                    blind=_blind(fields, needs),
                )
            )
    return found


def _sql() -> str:
    shares = [
        f"round(count(*) FILTER ({_ARRIVED.get(field, f'{field} IS NOT NULL')}) / count(*), 4) AS {field}"
        for field in FIELDS
    ]
    failed = "FILTER (outcome <> 'ok')"
    # count(x) counts what is not null; without any failure the division by NULL gives NULL.
    shares += [
        f"round(count({field}) {failed} / nullif(count(*) {failed}, 0), 4) AS {field}"
        for field in _FAILURE_FIELDS
    ]
    return f"""
        SELECT environment, agent_id, source, bool_and(bound) AS bound, count(*) AS events,
            {", ".join(shares)}
        FROM events GROUP BY environment, agent_id, source ORDER BY environment, agent_id, source
    """  # noqa: S608 (field names of ours)


def _blind(fields: Mapping[str, float | None], needs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    blind: dict[str, list[str]] = {}
    for detector, wanted in needs.items():
        lacking = [field for field in wanted if field not in _FAILURE_FIELDS and fields.get(field, 1.0) == 0]
        kinds = [field for field in wanted if field in _FAILURE_FIELDS]
        if kinds and all(fields[field] == 0 for field in kinds):
            lacking += kinds
        if lacking:
            blind[detector] = lacking
    return blind
