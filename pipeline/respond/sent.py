"""How one attempt to deliver a page went."""

from typing import Literal

import msgspec

Outcome = Literal["sent", "refused", "failed", "misconfigured"]
PAGE_REFUSED = {400, 409, 413, 414, 415, 422}
"""The target is well and does not want this page; anything else is the target's own trouble."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """How one attempt went. `error` names its kind alone: never an address, never a text from outside."""

    outcome: Outcome
    error: str | None = None
    retry_after_s: float | None = None
    """How long the target asks to be left alone."""


def by_status(code: int, retry_after_s: float | None = None) -> Sent:
    """What an HTTP status that is no success says."""
    outcome: Outcome = "refused" if code in PAGE_REFUSED else "failed"
    return Sent(outcome=outcome, error=f"HTTP {code}", retry_after_s=retry_after_s)
