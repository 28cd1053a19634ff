"""What the trips in force allow one action. Pure: no clock, no connection.

The server has chosen the trips that cover this agent, environment and version; only the tool is compared
here. The most restrictive mode holds, as on the server.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

Mode = Literal["on", "throttle", "approval", "read_only", "off"]
MODES: tuple[Mode, ...] = ("on", "throttle", "approval", "read_only", "off")
"""From the least to the most restrictive."""
RANK: dict[Mode, int] = {mode: rank for rank, mode in enumerate(MODES)}

Action = Literal["read", "write", "external"]
ACTIONS: tuple[Action, ...] = ("read", "write", "external")

MAX_TOOL_CHARS = 512
"""A longer tool's name fits no selector: it counts as missing, which every trip covers."""


class Trip(NamedTuple):
    """A trip that may cover this agent. `tool` is casefolded; None covers every tool."""

    id: str
    mode: Mode
    tool: str | None
    per_minute: int | None
    """How many actions a minute a trip of mode `throttle` leaves; None for the others."""


class Verdict(NamedTuple):
    """What the trips say about one action."""

    mode: Mode
    says: Literal["yes", "no", "approval"]
    """approval: only with an approval that the server knows."""
    trip: Trip | None
    """The strictest trip that covers the action, if any does."""
    paced: tuple[Trip, ...]
    """The trips whose pace the action has to keep."""


def decide(trips: Iterable[Trip], action: Action, tool: str | None) -> Verdict:
    """The verdict of `trips` on one action with one tool."""
    wanted = normal(tool)
    covering = [trip for trip in trips if trip.tool is None or wanted is None or trip.tool == wanted]
    strictest = max(covering, key=lambda trip: RANK[trip.mode], default=None)
    mode: Mode = strictest.mode if strictest is not None else "on"
    paced = tuple(trip for trip in covering if trip.mode == "throttle")
    return Verdict(mode, _says(mode, action), strictest, paced)


def normal(tool: str | None) -> str | None:
    """A tool's name as it is compared: case and outer white space do not count."""
    short = tool.strip() if tool else ""
    return short.casefold() if 0 < len(short) <= MAX_TOOL_CHARS else None


def _says(mode: Mode, action: Action) -> Literal["yes", "no", "approval"]:
    if mode == "off":
        return "no"
    if action == "read" or RANK[mode] < RANK["approval"]:
        return "yes"
    return "approval" if mode == "approval" else "no"
