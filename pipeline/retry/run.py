"""Retrying: raw message → decode, redact → rows of a retry log, each linked to its dead letter, once.

The retry log of a topic is a partition of the store that only this writes: whoever retries claims it, looks
which letters were retried before, and seals. Two at a time fence each other; nothing is stored twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from pipeline.audit.store import Store
from pipeline.audit.writer import PartitionWriter, new_writer_id
from pipeline.clock import NowMs
from pipeline.config import Config
from pipeline.decode.sources import SourceConfig
from pipeline.errors import TopicError
from pipeline.keys import Keys
from pipeline.prepare import Batch, Preparation
from pipeline.retry.letters import PARTITION, Letter, retried, retry_topic_id
from pipeline.retry.raw import NotHeld, Place, RawMessages, kafka_messages, local_messages
from pipeline.tail import GONE_AFTER_MS
from pipeline.topics.base import Message
from schemas.record import Row

CHUNK_MESSAGES = 50
"""So many messages are read, prepared and sealed at a time."""
Status = Literal["retried", "already retried", "still a dead letter", "not held"]


class Retried(NamedTuple):
    """What became of one dead letter."""

    letter: Letter
    status: Status
    why: str
    """still a dead letter, not held: the reason."""
    events: int


class Retrier:
    """Retries dead letters of one store."""

    def __init__(self, store: Store, config: Config, keys: Keys, *, now_ms: NowMs) -> None:
        self._store = store
        self._config = config
        self._keys = keys
        self._now_ms = now_ms
        self._preparation = Preparation(config.sources, config.tools, config.redaction, keys)

    def retry(self, letters: Iterable[Letter], *, dry_run: bool = False) -> Iterator[Retried]:
        """Retry each; what came of it, as it comes. `dry_run`: read and decode, and seal nothing. Raises
        StoreError, Fenced."""
        by_topic: dict[str, list[Letter]] = {}
        for letter in letters:
            by_topic.setdefault(letter.topic_id, []).append(letter)
        for topic_id, mine in by_topic.items():
            for first in range(0, len(mine), CHUNK_MESSAGES):
                chunk = mine[first : first + CHUNK_MESSAGES]
                try:
                    source = self._source(chunk[0].topic)
                    raw = self._raw(source, topic_id, [(one.partition, one.offset) for one in chunk])
                except TopicError as error:
                    yield from (Retried(letter, "not held", str(error), 0) for letter in chunk)
                    continue
                held = [letter for letter in chunk if self._fault(letter, raw) is None]
                for letter in chunk:
                    if (why := self._fault(letter, raw)) is not None:
                        yield Retried(letter, "not held", why, 0)
                if held:
                    yield from self._sealed(
                        source, topic_id, held, raw, None if dry_run else self._claim(topic_id)
                    )

    def _sealed(
        self,
        source: SourceConfig,
        topic_id: str,
        letters: Sequence[Letter],
        raw: RawMessages,
        writer: PartitionWriter | None,
    ) -> Iterator[Retried]:
        # After the claim: whoever retried before is fenced, and what they sealed is seen.
        known = retried(self._store, topic_id)
        for letter in letters:
            if letter.identity in known:
                yield Retried(letter, "already retried", "", 0)
                continue
            value = raw[letter.partition, letter.offset]
            offset = writer.end if writer is not None else 0
            rows = self._rows(source, letter, value if isinstance(value, bytes) else None, offset)
            if isinstance(rows, str):
                yield Retried(letter, "still a dead letter", rows, 0)
                continue
            if writer is not None:
                writer.seal(rows, offset + 1)
            known.add(letter.identity)
            yield Retried(letter, "retried", "", len(rows))
        if writer is not None and writer.end:
            # Nobody waits for a log that speaks when a person says so: its rows are late, and trip nothing.
            writer.idle(writer.end, self._now_ms() + 2 * GONE_AFTER_MS)

    def _claim(self, topic_id: str) -> PartitionWriter:
        place = retry_topic_id(topic_id), PARTITION
        return PartitionWriter.claim(self._store, *place, writer_id=new_writer_id(), now_ms=self._now_ms)

    def _rows(
        self, source: SourceConfig, letter: Letter, value: bytes | None, offset: int
    ) -> list[Row] | str:
        """The events that the letter's message gives now, at their place in the retry log; or why it gives
        none."""
        batch = Batch(
            topic_id=retry_topic_id(letter.topic_id),
            partition=PARTITION,
            source=source.name,
            messages=[Message(PARTITION, offset, letter.broker_time_ms, "event", None, value)],
            ingest_time_ms=self._now_ms(),
        )
        rows = self._preparation(batch)
        if letter.items > 1:
            # Its other items are stored: this one alone is missing, if it is still the same item.
            if len(rows) != letter.items:
                return f"it has {len(rows)} events now, and had {letter.items}: which of them is missing?"
            rows = [row for row in rows if row.item == letter.item]
        events = [_linked(row, letter.identity) for row in rows if row.kind == "event"]
        dead = next((row for row in rows if row.kind != "event"), None)
        return events or (dead.fields.reason if dead is not None else letter.reason)

    def _fault(self, letter: Letter, raw: RawMessages) -> str | None:
        found = raw[letter.partition, letter.offset]
        if isinstance(found, NotHeld):
            return str(found)
        if self._keys.hmac_hex("raw", found or b"") != letter.raw_hmac:
            return "another message is at its offset, or the key `raw` is another one"
        return None

    def _raw(self, source: SourceConfig, topic_id: str, places: Sequence[Place]) -> RawMessages:
        if source.kind == "kafka":
            return asyncio.run(kafka_messages(self._config.kafka, topic_id, places))
        return local_messages(self._config.topics.path, self._keys, topic_id, places)

    def _source(self, topic: str) -> SourceConfig:
        source = next((one for one in self._config.sources if one.topic == topic), None)
        if source is None:
            raise TopicError(
                f"no source reads topic {topic}: add its [[sources]] entry to retry what is in it"
            )
        return source


def _linked(row: Row, letter: str) -> Row:
    """The row with the link to its dead letter."""
    origin = msgspec.structs.replace(row.fields.origin, retry_of=letter)
    meta = msgspec.structs.replace(row.fields, origin=origin)
    return msgspec.structs.replace(row, meta=msgspec.json.encode(meta), fields=meta)
