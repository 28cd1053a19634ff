"""What decoding works on and gives: the row identity it is told, the items it returns."""

import hashlib

import msgspec

from schemas.event import Event

MAX_DEPTH = 64
"""Containers within containers that a value may have; beyond it encoding and walking are not safe."""
INT64_MAX = 2**63 - 1


class DeadLetter(msgspec.Struct, frozen=True):
    """Why a message, or one item of it, could not become an event. Holds none of its text."""

    reason: str
    """A phrase from `pipeline/decode/dead_letter.py`."""
    length: int
    """Bytes of the whole message."""
    error_position: int | None
    """Byte offset in the message, where known."""
    known_keys: dict[str, str]
    """Keys of our own field lists that were present, with the JSON type of each value."""


class Decoded(msgspec.Struct, frozen=True):
    """One item of a message. `item` counts from 0 in the order of the message."""

    item: int
    event: Event | DeadLetter
    bound: bool
    """Whether the source may speak for the agent and environment that the event claims."""


class RowContext(msgspec.Struct, frozen=True):
    """Where a message came from: the part of its identity that its items share."""

    topic_id: str
    partition: int
    offset: int
    broker_time_ms: int

    def derived_span_id(self, item: int) -> str:
        """The span id of an item that brought none: 16 hex digits that no other row identity gives."""
        identity = (
            self.topic_id.encode()
            + self.partition.to_bytes(4, "big")
            + self.offset.to_bytes(8, "big")
            + item.to_bytes(4, "big")
        )
        return hashlib.sha256(identity).digest()[:8].hex()


class Draft(msgspec.Struct):
    """An event as its sender tells it, before binding, defaults and range checks."""

    event: Event
    """Of the right types; an agent id of "" and a start of 0 with `time_known` False are absent."""
    tool: str | None
    """The name that an action kind may be read from, None where the step is not a tool call."""
    claimed_kind: str | None = None
    """The action kind as the sender gives it."""
    time_known: bool = True
    position: int | None = None
    """Byte offset of the item in the message, where known."""


class DecodeError(Exception):
    """One item cannot become an event. Carries a fixed reason, never text of the message."""

    def __init__(self, reason: str, position: int | None = None, keys: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.position = position
        self.keys = keys or {}
