"""The redacted stream as native events: what auditfuse's own decoder reads back, one event a message."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from pipeline.decode.native import FIELDS
from pipeline.publish.output import OfEvents, Published, SealedRow
from schemas.record import EventMeta

LEFT_OUT = "auditfuse.payload_left_out"
"""The attribute of an event that is too large for the topic: why it has no input and output."""
_PAYLOAD = ("input", "output", "attributes")
_IN_META = tuple(name for name in FIELDS if name not in _PAYLOAD)
_encode = msgspec.json.Encoder().encode
_decode_meta = msgspec.json.Decoder(EventMeta).decode


class RawPayload(msgspec.Struct):
    """A payload of which the parts stay as they are written."""

    input: msgspec.Raw
    output: msgspec.Raw
    attributes: msgspec.Raw


_decode_payload = msgspec.json.Decoder(RawPayload).decode


class NativeEvents(OfEvents):
    """Sealed events in the form of `docs/events.md`. The sender's own words are gone, the rest is there."""

    def messages(self, rows: Sequence[SealedRow]) -> Iterator[Published]:
        """One a row, under its identity."""
        for row in rows:
            key = row.identity.encode()
            meta, payload = row.columns["meta"], row.columns["payload"]
            value = native_event(meta, payload)
            if len(value) + len(key) > self._max_bytes:
                value = native_event(meta, None, {LEFT_OUT: "too large for the topic"})
            yield Published(key, value)


def native_event(meta: str, payload: str | None, attributes: dict[str, Any] | None = None) -> bytes:
    """The native event (JSON) of a sealed row. Without a payload, as after its erasure, it has neither input
    nor output, and the given attributes."""
    told = _decode_meta(meta)
    fields: dict[str, Any] = {
        name: value for name in _IN_META if (value := getattr(told, name)) is not None and value != []
    }
    if payload:
        parts = _decode_payload(payload)
        fields |= {name: part for name in _PAYLOAD if bytes(part := getattr(parts, name)) != b"null"}
    if attributes:
        fields["attributes"] = attributes
    return _encode(fields)
