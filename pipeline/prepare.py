"""From raw messages to rows that may be stored: decode, bind, redact, encode. Pure and off the event loop.

`Preparation` is a function of (messages, configuration, keys). It runs in a pool of spawned processes, so
that the event loop stays free for the kill switch and nothing is forked after threads have started.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from pipeline.decode import Decoded, decode_message
from pipeline.decode.action_kind import ToolPatterns
from pipeline.decode.outcome import derive_outcome
from pipeline.decode.sources import SourceConfig
from pipeline.keys import Keys
from pipeline.redact.config import RedactionConfig
from pipeline.redact.redactor import RedactedEvent, Redactor
from pipeline.topics.base import Message
from schemas.event import Event
from schemas.record import DeadLetterMeta, EventMeta, Origin, Row

UNKNOWN_ENVIRONMENT = "unknown"
DEFAULT_CHANNEL = "stable"

_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive messages of one partition."""

    topic_id: str
    partition: int
    source: str
    messages: Sequence[Message]
    ingest_time_ms: int


class Preparation:
    """Turns batches of messages into rows. Every message gives at least one row, in order."""

    def __init__(
        self,
        sources: Sequence[SourceConfig],
        patterns: ToolPatterns,
        redaction: RedactionConfig,
        keys: Keys,
    ) -> None:
        self._sources: Mapping[str, SourceConfig] = {source.name: source for source in sources}
        self._patterns = patterns
        self._redactor = Redactor(redaction, keys)
        self._keys = keys

    def load(self, text: str = "-") -> None:
        """Load the models now, and not with the first batch: whatever examines this text."""
        self._redactor.redact_text(text)

    def __call__(self, batch: Batch) -> list[Row]:
        """The rows of a batch, ordered by (offset, item)."""
        decoded = self.decode(batch)
        return self.rows(batch, decoded, self.redact(batch, decoded))

    def decode(self, batch: Batch) -> list[list[Decoded]]:
        """What each message holds: at least one item."""
        source = self._sources[batch.source]
        return [
            decode_message(
                message.value,
                topic_id=batch.topic_id,
                partition=batch.partition,
                offset=message.offset,
                broker_time_ms=message.time_ms,
                source=source,
                patterns=self._patterns,
            )
            for message in batch.messages
        ]

    def redact(self, batch: Batch, decoded: Sequence[Sequence[Decoded]]) -> list[list[RedactedEvent]]:
        """The events of each message, redacted."""
        events = [[item.event for item in items if isinstance(item.event, Event)] for items in decoded]
        return self._redactor.redact(events, batch.source)

    def rows(
        self,
        batch: Batch,
        decoded: Sequence[Sequence[Decoded]],
        redacted: Sequence[Sequence[RedactedEvent]],
    ) -> list[Row]:
        """The records of all items."""
        rows: list[Row] = []
        for message, items, clean in zip(batch.messages, decoded, redacted, strict=True):
            raw_hmac = self._keys.hmac_hex("raw", message.value or b"")
            remaining = iter(clean)
            for item in items:
                origin = _origin(batch, message, item, raw_hmac)
                if isinstance(item.event, Event):
                    rows.append(self._event_row(item.event, next(remaining), origin))
                else:
                    rows.append(_dead_letter_row(item, origin))
        return rows

    def _event_row(self, raw: Event, redacted: RedactedEvent, origin: Origin) -> Row:
        event = redacted.event
        fields: dict[str, Any] = dict(zip(_SHARED_FIELDS, _shared_fields(event), strict=True))
        fields["environment"] = event.environment or UNKNOWN_ENVIRONMENT
        fields["channel"] = event.channel or DEFAULT_CHANNEL
        fields["action_kind"] = event.action_kind or "unknown"
        meta = EventMeta(
            **fields,
            # From the raw event: redaction of an error's text must not change how it ended.
            outcome=derive_outcome(raw.status, raw.error_type, raw.http_status),
            redactions=redacted.redactions,
            event_hmac=self._keys.hmac_hex("raw", _encode_sorted(raw)),
            origin=origin,
        )
        return Row(
            offset=origin.offset,
            item=origin.item,
            kind="event",
            meta=_encode(meta),
            payload=redacted.payload,
            fields=meta,
        )


_OWN_FIELDS = {"kind", "outcome", "redactions", "event_hmac", "origin"}
_SHARED_FIELDS = [name for name in EventMeta.__struct_fields__ if name not in _OWN_FIELDS]
_shared_fields = attrgetter(*_SHARED_FIELDS)


def _origin(batch: Batch, message: Message, item: Decoded, raw_hmac: str) -> Origin:
    return Origin(
        topic_id=batch.topic_id,
        partition=batch.partition,
        offset=message.offset,
        item=item.item,
        source=batch.source,
        bound=item.bound,
        broker_time_ms=message.time_ms,
        broker_time_kind=message.time_kind,
        ingest_time_ms=batch.ingest_time_ms,
        raw_hmac=raw_hmac,
    )


def _dead_letter_row(item: Decoded, origin: Origin) -> Row:
    letter = item.event
    assert not isinstance(letter, Event)  # noqa: S101 (narrows the type)
    meta = DeadLetterMeta(
        reason=letter.reason,
        length=letter.length,
        error_position=letter.error_position,
        known_keys=letter.known_keys,
        origin=origin,
    )
    return Row(
        offset=origin.offset,
        item=origin.item,
        kind="dead_letter",
        meta=_encode(meta),
        payload=b"",
        fields=meta,
    )
