"""A message of the signals topic: one log entry of a sealed partition, and a shard's rows of it.

It is a hint: whatever is lost, repeated or out of order, the reader has from the store.
"""

import io

import msgspec
import polars as pl

from pipeline.detect.model import Marker
from pipeline.signals_topic.shard import CUT_SCHEMA, Cut

FORMAT = 1


class SignalsMessage(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What is told of one entry."""

    format: int = FORMAT
    topic_id: str
    partition: int
    n: int
    """The entry's number in the partition's log."""
    entry: bytes
    """Its bytes, as the store has them."""
    segment: str | None = None
    """The segment that it seals."""
    marker: Marker | None = None
    rows: bytes | None = None
    """Arrow IPC of the shard's rows; None: read them from the segment."""


class Unreadable(ValueError):
    """A message that is none of ours, or of another version."""


def with_rows(message: SignalsMessage, part: Cut, max_bytes: int) -> bytes:
    """The message for one shard, without the rows where they are too many for one."""
    buffer = io.BytesIO()
    part.signals.write_ipc(buffer, compression="zstd")
    rows = buffer.getvalue() if buffer.tell() <= max_bytes else None
    return _ENCODER.encode(msgspec.structs.replace(message, marker=part.marker, rows=rows))


def encoded(message: SignalsMessage) -> bytes:
    """The same message for every shard: an entry without rows."""
    return _ENCODER.encode(message)


def decoded(content: bytes) -> SignalsMessage:
    """Raises Unreadable."""
    try:
        message = _DECODER.decode(content)
    except (msgspec.MsgspecError, ValueError):
        raise Unreadable from None
    if message.format != FORMAT:
        raise Unreadable
    return message


def cut_of(message: SignalsMessage) -> Cut | None:
    """The rows that it carries, None where it carries none that this version can take."""
    if message.rows is None or message.marker is None:
        return None
    try:
        signals = pl.read_ipc(io.BytesIO(message.rows))
    except (pl.exceptions.PolarsError, OSError):
        return None
    return Cut(signals, message.marker) if signals.schema == CUT_SCHEMA else None


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(SignalsMessage)
