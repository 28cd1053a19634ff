"""Erasures and legal holds: what is recorded of them, as rows of `_control`. Never the person."""

from typing import Literal

import msgspec

Erased = Literal["row", "payload", "where_found"]
"""where_found: a row whose metadata holds a looked-for value goes whole, else its payload alone."""


class Scope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which rows, all given parts together. Values as they are stored, so a person is a pseudonym."""

    topic: str | None = None
    """The topic's name, without the id of its incarnation."""
    environment: str | None = None
    agent: str | None = None
    trace_id: str | None = None
    session_id: str | None = None
    end_user: str | None = None
    pseudonyms: list[str] = []
    """Rows that hold one of them anywhere, in metadata or payload."""
    from_ms: int | None = None
    """Events by the end of the span, dead letters by broker time, findings and incidents by their own; at or
    after."""
    to_ms: int | None = None
    """Before."""
    stored_from_ms: int | None = None
    """Thinning: events by broker time; at or after."""
    stored_before_ms: int | None = None
    """Retention and thinning: events and dead letters by broker time, others as above; before."""


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
    """By a rule of retention or thinning, not by a person."""
    predicate_sha256: str
    """SHA-256 (hex) of a salt and the canonical JSON of what was looked for: who knows what was asked and
    has the salt can show that it was this. The salt is HMAC-SHA256 of the erasure's id under the key
    `erasure`, so that nobody with the store alone can try names and numbers."""
    scope: Scope | None = None
    """intent by a rule: its scope, which names no person."""
    rows: int | None = None
    """completion: how many rows were erased whole."""
    payloads: int | None = None
    """completion: how many payloads were erased alone."""
    held_rows: int | None = None
    """completion: how many were left because of a legal hold."""
    in_force_rows: int | None = None
    """completion: how many were left because a trip or a hold that they speak of is in force."""
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
