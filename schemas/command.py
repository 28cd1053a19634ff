"""Kill-switch commands: what is journaled, sealed in `_control` and folded into the switch state."""

from typing import Literal

import msgspec

Mode = Literal["on", "throttle", "approval", "read_only", "off"]
MODES: tuple[Mode, ...] = ("on", "throttle", "approval", "read_only", "off")
"""From the least to the most restrictive; the join of modes is the last of them."""

CommandKind = Literal["trip", "reset_request", "reset_approval", "step_down", "expire", "accept_baseline"]


class Selector(msgspec.Struct, frozen=True, kw_only=True):
    """What a trip covers. None matches everything; a context without the attribute matches any value."""

    environment: str | None = None
    agent: str | None = None
    version: str | None = None
    tool: str | None = None


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the kill switch. `id` makes appending it idempotent."""

    kind: Literal["command"] = "command"
    id: str
    command: CommandKind
    at_ms: int
    by: str
    automatic: bool
    reason: str
    selector: Selector | None = None
    mode: Mode | None = None
    until_ms: int | None = None
    """Only a trip may carry an end, set when it is made."""
    finding_id: str | None = None
    trips: list[str] = []
    """The trips that a reset, a step-down or an expiry names."""
    request_id: str | None = None
    """The reset request that a reset approval confirms."""
