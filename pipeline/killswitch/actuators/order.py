"""What an actuator is asked: one trip at one mode, and all that is in force beside it. Pure."""

import hashlib
import hmac
from typing import Literal

import msgspec

from schemas.command import Mode, Selector

MAX_NAMED = 256
"""Trips in force that an order names; `in_force_count` tells how many there are."""

Outcome = Literal["done", "accepted", "failed"]
"""done: acknowledged. accepted: it says that it will, and nobody knows yet. failed: try again."""


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """A trip in force, as this actuator is meant to see it."""

    trip: str
    mode: Mode
    selector: Selector


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a webhook, the standard input of a command. Carrying one out twice must change nothing."""

    id: str
    """The same for every attempt of one order."""
    command: Literal["tighten", "loosen"]
    trip: str
    mode: Mode
    """What the trip is at now; `on`: it is lifted, or at a mode that this actuator does not act on."""
    selector: Selector
    by: str
    reason: str
    automatic: bool
    finding_id: str | None
    at_ms: int
    """When the trip was made."""
    attempt: int
    drill: bool
    in_force: list[InForce]
    """Trips in force that it acts on, at most 256: release only what none of them covers."""
    in_force_count: int


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """How one attempt went; `detail` is free of any content of answers."""

    outcome: Outcome
    detail: str = ""
    status_url: str | None = None
    """Where to ask later, of an order that was accepted."""
    retry_after_s: float | None = None


def signature(secret: bytes, timestamp_s: int, body: bytes) -> str:
    """`v1=` and the HMAC-SHA256 (hex) over the timestamp's digits, a full stop and the body."""
    return "v1=" + hmac.new(secret, b"%d." % timestamp_s + body, hashlib.sha256).hexdigest()
