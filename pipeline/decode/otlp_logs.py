"""OTLP log records → draft events: Claude Code's and Codex's by name, all others as they are.

The decisions of coding agents (a person or a rule let a tool run, or did not) are approvals. They
act on nothing themselves, so their action kind is none: the tool's own record follows.
"""

from typing import Any

from pipeline.decode.base import Draft
from pipeline.decode.mapping import CODING_AGENT_ALIASES, LOG_ALIASES, Gathered, gather
from pipeline.decode.otlp_build import build
from pipeline.decode.otlp_parts import LogParts
from pipeline.decode.steps import EXECUTE_TOOL, action_of, operation_of, tool_of
from schemas.event import Status

CODING_AGENTS = ("claude_code.", "codex.")
CODING_AGENT_SERVICES = {"claude-code": "claude_code.", "codex_cli_rs": "codex.", "codex-cli": "codex."}

_OPERATIONS = {
    "user_prompt": "user_prompt",
    "api_request": "chat",
    "api_error": "chat",
    "sse_event": "stream_event",
    "websocket_event": "stream_event",
    "tool_result": EXECUTE_TOOL,
    "tool_decision": "tool_decision",
    "conversation_starts": "session_start",
}
_GRANTED = {"accept", "accepted", "allow", "allowed", "grant", "granted", "yes"}
_DENIED = {"reject", "rejected", "deny", "denied", "abort", "aborted", "no", "timed_out"}
_SEVERITY_ERROR = 17


def log_draft(record: LogParts, resource: Gathered) -> Draft:
    """The event of a log record."""
    name = event_name(record, resource)
    if name is not None and name.startswith(CODING_AGENTS):
        return _coding_agent_draft(record, resource, name)
    return _generic_draft(record, resource, name)


def event_name(record: LogParts, resource: Gathered) -> str | None:
    """The record's event name: its own field, else the attribute event.name, else a body that is one.

    Claude Code names the event without its prefix in `event.name` and with it in the body.
    """
    attributes = dict(record.attributes)
    named = record.event_name or attributes.get("event.name")
    body = record.body if isinstance(record.body, str) and record.body.startswith(CODING_AGENTS) else None
    if not isinstance(named, str) or not named:
        return body
    if named in _OPERATIONS:
        if body is not None and body.endswith("." + named):
            return body
        service = resource.get("agent_id")
        return CODING_AGENT_SERVICES.get(service, "") + named if isinstance(service, str) else named
    return named


def _coding_agent_draft(record: LogParts, resource: Gathered, name: str) -> Draft:
    gathered = gather(record.attributes, CODING_AGENT_ALIASES, resource)
    short = name.split(".", 1)[1]
    operation = _OPERATIONS.get(short, short)
    tool: str | None = gathered.get("tool") if operation == EXECUTE_TOOL else None
    own = _common(record, gathered)
    own["operation"] = operation
    own["action"] = gathered.get("tool") or (gathered.get("model") if operation == "chat" else None) or short
    own["status"] = _coding_agent_status(record, gathered, short)
    duration_ms: int | None = gathered.get("duration_ms")
    if duration_ms is not None:
        # The record is written when the step has ended.
        own["duration_ns"] = duration_ms * 1_000_000
        own["start_time_unix_nano"] -= duration_ms * 1_000_000
    decision: str | None = gathered.get("decision")
    if operation == "tool_decision" and decision is not None:
        own["approval_status"] = approval_status(decision)
        own["approval_id"] = gathered.get("approval_id") or gathered.get("tool_call_id")
    extra = _extra(record, name)
    if record.body is not None and record.body != name:
        extra["otel.log.body"] = record.body
    return build(gathered, own, extra, tool=tool, time_known=_time(record) != 0)


def _generic_draft(record: LogParts, resource: Gathered, name: str | None) -> Draft:
    gathered = gather(record.attributes, LOG_ALIASES, resource)
    operation = operation_of(gathered) or "log"
    tool = tool_of(gathered, operation)
    own = _common(record, gathered)
    own["operation"] = operation
    own["action"] = action_of(gathered, operation, tool, name)
    failed = record.severity >= _SEVERITY_ERROR or gathered.get("error_type") is not None
    own["status"] = "error" if failed else "unset"
    extra = _extra(record, name)
    if record.body is not None:
        if gathered.get("output") is None:
            own["output"] = record.body
        else:
            extra["otel.log.body"] = record.body
    return build(gathered, own, extra, tool=tool, time_known=_time(record) != 0)


def approval_status(decision: str) -> str:
    """granted or denied for the words that coding agents use; another word as it is."""
    word = decision.lower()
    if word in _GRANTED or word.startswith("approved"):
        return "granted"
    return "denied" if word in _DENIED else decision


def _common(record: LogParts, gathered: Gathered) -> dict[str, Any]:
    return {
        "start_time_unix_nano": _time(record),
        "trace_id": record.trace_id,
        # A record names the span it was written in; its own identity is its row's.
        "parent_span_id": record.span_id,
        "status_message": gathered.get("status_message"),
    }


def _time(record: LogParts) -> int:
    return record.time or record.observed_time


def _extra(record: LogParts, name: str | None) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if name is not None:
        extra["otel.event.name"] = name
    if record.severity_text or record.severity:
        extra["otel.severity"] = record.severity_text or record.severity
    return extra


def _coding_agent_status(record: LogParts, gathered: Gathered, short: str) -> Status:
    success: str | None = gathered.get("success")
    code: int | None = gathered.get("http_status")
    if short == "api_error" or success == "false" or (code is not None and code >= 400):
        return "error"
    if record.severity >= _SEVERITY_ERROR or gathered.get("error_type") is not None:
        return "error"
    return "ok" if success == "true" or short == "api_request" else "unset"
