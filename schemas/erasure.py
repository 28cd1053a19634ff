"""Erasures and legal holds: what is recorded of them, as rows of `_control`. Never the person."""

from typing import Literal

import msgspec

Erased = Literal["row", "payload"]


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows, all given parts together. Values as they are stored, so a person is a pseudonym."""

    topic: str | None = None
    """The topic's name, without the id of its incarnation."""
    environment: str | None = None
    agent: str | None = None
    trace_id: str | None = None
    session_id: str | None = None
    end_user: str | None = None
    from_ms: int | None = None
    """Event rows by the span's end, others by broker time; at or after."""
    to_ms: int | None = None
    """Before."""


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure's intent or completion. The intent stands before the first byte is touched."""

    kind: Literal["erasure"] = "erasure"
    id: str
    """`<erasure id>:<phase>`, so that each phase is appended once."""
    erasure: str
    """128 random bits (hex), named by the erase entries of the partition logs."""
    phase: Literal["intent", "completion"]
    at_ms: int
    by: str
    reason: str
    what: Erased
    automatic: bool = False
    """By a retention rule, not by a person."""
    predicate_salt: str
    """32 random bytes (hex)."""
    predicate_sha256: str
    """SHA-256 (hex) of the salt and the canonical JSON of what was looked for: the requester, who knows
    what was asked, can prove that it was this."""
    rows: int | None = None
    """completion: how many rows or payloads were erased."""
    held_rows: int | None = None
    """completion: how many were left because of a legal hold."""
    out_of_reach: list[str] = []
    """completion: copies that auditfuse cannot reach, and until when they last."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A legal hold: what matches its scope is neither erased nor dropped by retention until it is lifted."""

    kind: Literal["hold"] = "hold"
    id: str
    """`<hold id>:<phase>`."""
    hold: str
    phase: Literal["place", "lift"]
    at_ms: int
    by: str
    reason: str
    scope: Scope | None = None
    """place: what is held."""
