"""From gathered attributes to a draft event: what OTLP spans and log records have in common."""

from typing import Any

from pipeline.decode.action_kind import KINDS
from pipeline.decode.base import Draft
from pipeline.decode.mapping import Gathered
from schemas.event import Event

_COPIED = (
    *("session_id", "request_id", "agent_version", "config_version", "environment", "channel", "principal"),
    *("credential_id", "credential_expires", "scopes", "end_user", "target", "tool_call_id", "model"),
    *("approval_id", "approval_status", "error_type", "http_status", "input", "output"),
    *("input_tokens", "output_tokens"),
)
_DECIDING = (
    *("agent_name", "step", "entity", "operation", "tool", "claimed_kind", "status_message", "event_name"),
    *("duration_ms", "success", "decision"),
)
"""Fields of the mapping that the event has no place for: they decide others of its fields."""


def build(
    gathered: Gathered, own: dict[str, Any], extra: dict[str, Any], *, tool: str | None, time_known: bool
) -> Draft:
    """The draft of one span or record. `own` are fields it tells outside of its attributes; `extra`
    are attributes made of its other parts. Types are right by the mapping's coercions."""
    found = gathered.found
    fields: dict[str, Any] = {name: found[name][2] for name in _COPIED if name in found}
    agent = found.get("agent_id") or found.get("agent_name")
    fields["agent_id"] = agent[2] if agent else ""
    fields.update(own)
    claimed: str | None = gathered.get("claimed_kind")
    event = Event(**fields)
    event.attributes = _attributes(gathered, event, claimed, extra)
    return Draft(event, tool, claimed, time_known)


def _attributes(
    gathered: Gathered, event: Event, claimed: str | None, extra: dict[str, Any]
) -> dict[str, Any]:
    """What no field shows, sorted by name so that the sender's order leaves no trace."""
    rest = {**gathered.rest, **extra}
    shown = {event.action, event.operation, event.agent_id, event.status_message}
    if claimed in KINDS:
        shown.add(claimed)
    for field in _DECIDING:
        held = gathered.found.get(field)
        if held is not None and held[2] not in shown:
            rest[held[1]] = held[2]
    return dict(sorted(rest.items()))
