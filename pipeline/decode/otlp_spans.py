"""OTLP spans → draft events."""

from typing import Any

from pipeline.decode.base import Draft
from pipeline.decode.mapping import SPAN_ALIASES, Gathered, gather, text
from pipeline.decode.otlp_build import build
from pipeline.decode.otlp_parts import SpanParts
from pipeline.decode.steps import action_of, operation_of, tool_of
from schemas.event import Status

_ERROR_CODES = {2, "2", "STATUS_CODE_ERROR"}
_OK_CODES = {1, "1", "STATUS_CODE_OK"}


def span_draft(span: SpanParts, resource: Gathered) -> Draft:
    """The event of a span."""
    gathered = gather(span.attributes, SPAN_ALIASES, resource)
    operation = operation_of(gathered)
    tool = tool_of(gathered, operation)
    own: dict[str, Any] = {
        "start_time_unix_nano": span.start,
        # A span that never ended has no duration; one that ends before it starts has a negative one.
        "duration_ns": span.end - span.start if span.end and span.start else 0,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "operation": operation,
        "action": action_of(gathered, operation, tool, span.name),
        "status_message": span.status_message or gathered.get("status_message"),
    }
    error_type = gathered.get("error_type") or _exception_type(span.events)
    if error_type is not None:
        own["error_type"] = error_type
    own["status"] = _status(span.status_code, error_type)
    extra: dict[str, Any] = {}
    if span.name and span.name not in (own["action"], f"{operation} {own['action']}"):
        extra["otel.span.name"] = span.name
    if span.events:
        extra["otel.span.events"] = span.events
    if span.links:
        extra["otel.span.links"] = span.links
    return build(gathered, own, extra, tool=tool, time_known=span.start != 0)


def _status(code: int | str | None, error_type: str | None) -> Status:
    """A span without a status ended without error, unless it names an error type."""
    if code in _ERROR_CODES:
        return "error"
    if code in _OK_CODES:
        return "ok"
    return "error" if error_type else "ok"


def _exception_type(events: list[dict[str, Any]]) -> str | None:
    """The type of the last exception that the span recorded."""
    for event in reversed(events):
        if event["name"] == "exception":
            return text(event["attributes"].get("exception.type"))
    return None
