"""Taking an OTLP request apart into single spans or log records, so that a bad one loses no other.

Traces and logs requests have the same shape: resources, scopes in them, items in those, and in
protobuf even the same field numbers. Items stay undecoded bytes here.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from pipeline.decode import dead_letter
from pipeline.decode.base import DecodeError
from pipeline.decode.otlp_values import Budget

_PARTS_PER_ITEM = 8


class Group(NamedTuple):
    """The items that share a resource. `resource` is empty where there is none."""

    resource: bytes | msgspec.Raw
    items: list[tuple[int | None, bytes | msgspec.Raw]]
    """(byte position where known, the item's bytes)"""


class _SpanScope(msgspec.Struct, rename={"items": "spans"}):
    items: list[msgspec.Raw] | None = None


class _SpanResource(msgspec.Struct, rename={"scopes": "scopeSpans"}):
    resource: msgspec.Raw = msgspec.Raw()
    scopes: list[_SpanScope] | None = None


class _SpanRequest(msgspec.Struct, rename={"resources": "resourceSpans"}):
    resources: list[_SpanResource] | None = None


class _LogScope(msgspec.Struct, rename={"items": "logRecords"}):
    items: list[msgspec.Raw] | None = None


class _LogResource(msgspec.Struct, rename={"scopes": "scopeLogs"}):
    resource: msgspec.Raw = msgspec.Raw()
    scopes: list[_LogScope] | None = None


class _LogRequest(msgspec.Struct, rename={"resources": "resourceLogs"}):
    resources: list[_LogResource] | None = None


_spans = msgspec.json.Decoder(_SpanRequest)
_logs = msgspec.json.Decoder(_LogRequest)


def json_groups(content: bytes, *, logs: bool) -> list[Group]:
    """The groups of an OTLP/JSON request. Raises DecodeError where its frame is broken."""
    try:
        request = (_logs if logs else _spans).decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise dead_letter.json_fault(error, content) from None
    return [
        Group(
            resource.resource, [(None, item) for scope in resource.scopes or () for item in scope.items or ()]
        )
        for resource in request.resources or ()
    ]


def proto_groups(content: bytes, max_items: int) -> list[Group]:
    """The groups of a protobuf request, with positions. Raises DecodeError where its frame is broken or
    holds many more parts than `max_items` items need."""
    groups: list[Group] = []
    budget = Budget(_PARTS_PER_ITEM * max_items, dead_letter.TOO_MANY_ITEMS)
    for number, start, end in _fields(content, 0, len(content), budget):
        if number != 1:
            continue
        resource: list[bytes] = []
        items: list[tuple[int | None, bytes | msgspec.Raw]] = []
        for inner, first, last in _fields(content, start, end, budget):
            if inner == 1:
                resource.append(content[first:last])
            elif inner == 2:
                parts = _fields(content, first, last, budget)
                items.extend((a, content[a:b]) for n, a, b in parts if n == 2)
        # Repeated occurrences of a message merge, and so do their bytes put together.
        groups.append(Group(b"".join(resource), items))
    return groups


def _fields(content: bytes, position: int, end: int, budget: Budget) -> Iterator[tuple[int, int, int]]:
    """(field number, start, end) of the length-delimited fields in content[position:end]."""
    while position < end:
        budget.spend(1)
        begin = position
        tag, position = _varint(content, position, end)
        wire_type = tag & 7
        if wire_type == 2:
            length, position = _varint(content, position, end)
            if position + length > end:
                raise DecodeError(dead_letter.NOT_PROTOBUF, begin)
            yield tag >> 3, position, position + length
            position += length
        elif wire_type == 0:
            _, position = _varint(content, position, end)
        elif wire_type in (1, 5):
            position += 8 if wire_type == 1 else 4
        else:
            raise DecodeError(dead_letter.NOT_PROTOBUF, begin)
        if tag < 8 or position > end:
            raise DecodeError(dead_letter.NOT_PROTOBUF, begin)


def _varint(content: bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    start = position
    while position < end and shift < 70:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise DecodeError(dead_letter.NOT_PROTOBUF, start)
