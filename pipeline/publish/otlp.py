"""The redacted stream as OTLP: ExportTraceServiceRequest in protobuf, with the attributes that our own
decoder reads (docs/events.md): collectors and trace viewers take it as they take an agent's own spans."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from pipeline.decode.steps import NOT_TOOLS
from pipeline.publish.native import LEFT_OUT
from pipeline.publish.otlp_values import add_attribute, add_json_attribute
from pipeline.publish.output import OfEvents, Published, SealedRow
from schemas.record import EventMeta, Payload

ROW = "auditfuse.row"
"""The attribute that tells a span's row: equal rows are the same one, published again."""
TRACE = "auditfuse.trace_id"
SPAN = "auditfuse.span_id"
PARENT = "auditfuse.parent_span_id"
"""Ids that are no OTLP ids, as they are stored: the span has one that is made from them."""
OUTCOME = "auditfuse.outcome"
TARGET_BYTES = 256 * 1024
"""A message is sent once it is so large."""
MAX_SPANS = 200
_OVERHEAD_BYTES = 256
"""What a span's place in the request takes at most beside the span and its resource."""

_COPIED: Mapping[str, str] = {
    "session_id": "gen_ai.conversation.id",
    "end_user": "user.id",
    "operation": "gen_ai.operation.name",
    "model": "gen_ai.request.model",
    "tool_call_id": "gen_ai.tool.call.id",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "target": "audit.target",
    "channel": "audit.deployment.channel",
    "principal": "audit.principal.id",
    "scopes": "audit.auth.scopes",
    "credential_id": "audit.credential.id",
    "credential_expires": "audit.credential.expires",
    "config_version": "audit.config.version",
    "request_id": "audit.request.id",
    "approval_id": "audit.approval.id",
    "approval_status": "audit.approval.status",
    "action_kind": "audit.action.kind",
    "error_type": "error.type",
    "http_status": "http.response.status_code",
    "outcome": OUTCOME,
}
"""Field → attribute; the first name of each in docs/events.md."""
_OF_RESOURCE: Mapping[str, str] = {
    "agent_id": "service.name",
    "agent_version": "service.version",
    "environment": "deployment.environment.name",
}
_OF_TOOL = ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result")
_OF_MODEL = ("gen_ai.input.messages", "gen_ai.output.messages")
_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")
_STATUS = {"ok": Status.STATUS_CODE_OK, "error": Status.STATUS_CODE_ERROR}

_Resource = tuple[str | None, ...]
_decode_meta = msgspec.json.Decoder(EventMeta).decode
_decode_payload = msgspec.json.Decoder(Payload).decode


class OtlpSpans(OfEvents):
    """Sealed events as spans, many a message."""

    def messages(self, rows: Sequence[SealedRow]) -> Iterator[Published]:
        """Consecutive rows together, up to a size; a message's key is the identity of its first row."""
        limit = min(TARGET_BYTES, self._max_bytes)
        held: list[tuple[_Resource, Span]] = []
        key, size = b"", 0
        for row in rows:
            resource, span = self._fitting(row)
            added = span.ByteSize() + _resource_bytes(resource)
            if held and (size + added > limit or len(held) == MAX_SPANS):
                yield Published(key, _request(held))
                held, size = [], 0
            if not held:
                key = row.identity.encode()
            held.append((resource, span))
            size += added
        if held:
            yield Published(key, _request(held))

    def _fitting(self, row: SealedRow) -> tuple[_Resource, Span]:
        meta = _decode_meta(row.columns["meta"])
        resource = tuple(getattr(meta, name) for name in _OF_RESOURCE)
        span = _span(meta, row.columns["payload"], row.identity)
        if span.ByteSize() + _resource_bytes(resource) + len(row.identity) > self._max_bytes:
            span = _span(meta, None, row.identity)
            add_attribute(span.attributes, LEFT_OUT, "too large for the topic")
        return resource, span


def _resource_bytes(resource: _Resource) -> int:
    return sum(4 * len(value or "") for value in resource) + _OVERHEAD_BYTES


def _request(spans: Sequence[tuple[_Resource, Span]]) -> bytes:
    """Spans of one resource together, each group in the rows' order."""
    groups: dict[_Resource, ResourceSpans] = {}
    request = ExportTraceServiceRequest()
    for resource, span in spans:
        group = groups.get(resource)
        if group is None:
            group = groups[resource] = request.resource_spans.add()
            for name, value in zip(_OF_RESOURCE.values(), resource, strict=True):
                if value is not None:
                    add_attribute(group.resource.attributes, name, value)
            group.scope_spans.add().scope.name = "auditfuse"
        group.scope_spans[0].spans.append(span)
    return request.SerializeToString()


def _span(meta: EventMeta, payload: str | None, identity: str) -> Span:
    span = Span(
        name=_name(meta),
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=meta.start_time_unix_nano,
        end_time_unix_nano=meta.start_time_unix_nano + meta.duration_ns,
        status=Status(
            code=_STATUS.get(meta.status, Status.STATUS_CODE_UNSET), message=meta.status_message or ""
        ),
    )
    add_attribute(span.attributes, ROW, identity)
    _set_ids(span, meta, identity)
    for field, name in _COPIED.items():
        value = getattr(meta, field)
        if value is not None and value != []:
            add_attribute(span.attributes, name, value)
    is_tool = meta.operation is not None and meta.operation not in NOT_TOOLS
    if is_tool and meta.action is not None:
        add_attribute(span.attributes, "gen_ai.tool.name", meta.action)
    if payload:
        _add_payload(span, _decode_payload(payload), _OF_TOOL if is_tool else _OF_MODEL)
    return span


def _add_payload(span: Span, payload: Payload, names: tuple[str, str]) -> None:
    told = {pair.key for pair in span.attributes}
    for name, value in zip(names, (payload.input, payload.output), strict=True):
        if value is not None:
            add_json_attribute(span.attributes, name, value)
            told.add(name)
    for name, value in payload.attributes.items():
        if name not in told:  # what a field says wins, as it did when it was read
            add_attribute(span.attributes, name, value)


def _set_ids(span: Span, meta: EventMeta, identity: str) -> None:
    """OTLP's ids have 16 and 8 bytes; others become such, the same ones for the same text."""
    if meta.trace_id is not None and _TRACE_ID.fullmatch(meta.trace_id):
        span.trace_id = bytes.fromhex(meta.trace_id)
    else:
        span.trace_id = _made(meta.trace_id or identity, 16)
        if meta.trace_id is not None:
            add_attribute(span.attributes, TRACE, meta.trace_id)
    span.span_id = _span_id(span, meta.span_id, SPAN)
    if meta.parent_span_id is not None:
        span.parent_span_id = _span_id(span, meta.parent_span_id, PARENT)


def _span_id(span: Span, text: str, attribute: str) -> bytes:
    if _SPAN_ID.fullmatch(text):
        return bytes.fromhex(text)
    add_attribute(span.attributes, attribute, text)
    return _made(text, 8)


def _made(text: str, size: int) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:size]


def _name(meta: EventMeta) -> str:
    return " ".join(part for part in (meta.operation, meta.action) if part) or "step"
