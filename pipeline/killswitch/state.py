"""Kill-switch commands folded into the state that agents are served. Pure: no clock, no files.

A trip counts from the moment it is known. Whatever loosens counts only once it is sealed in
`_control`, so a lost or forged file can make the switch tighter, never looser. The fold is a join: the
order of commands does not matter, and one more trip never loosens anything.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple, Protocol

import msgspec

from schemas.command import MODES, Command, Mode, Selector

RANK: dict[Mode, int] = {mode: rank for rank, mode in enumerate(MODES)}
STEP_DOWN_MODE: Mode = "read_only"

FLAGS = ("agent.enabled", "agent.write", "agent.external", "agent.mode")
ANYTHING = Selector()
DRILL_ENVIRONMENT = "auditfuse-drill"
"""Reserved: a trip of it covers only who says that it is there, so that a drill stops nobody else."""


class Context(NamedTuple):
    """Who asks. None: the context does not say, and then every selector matches."""

    agents: frozenset[str] | None = None
    """The casefolded names the agent goes by; a trip of any of them is a trip of this agent."""
    environment: str | None = None
    version: str | None = None
    tool: str | None = None
    approval: str | None = None
    """The approval that the agent says it has; only what `Approvals` knows counts."""


class Approvals(Protocol):
    """The approvals that are known from bound sources."""

    def usable(
        self, approval_id: str, agents: frozenset[str], tool: str, environment: str | None = None
    ) -> bool:
        """Whether it was granted to one of `agents` for `tool` there, has not expired and is not used."""
        ...


class NoApprovals:
    """Where no bound source of approvals is configured, no approval counts."""

    def usable(
        self, approval_id: str, agents: frozenset[str], tool: str, environment: str | None = None
    ) -> bool:
        """Never."""
        del approval_id, agents, tool, environment
        return False


class TripInForce(NamedTuple):
    """A trip that is not lifted. `mode` is the one in force, after any step down."""

    command: Command
    mode: Mode

    @property
    def selector(self) -> Selector:
        """What it covers."""
        return self.command.selector or ANYTHING


class SwitchState(NamedTuple):
    """All trips in force, in the order of their ids. `digest` names exactly this set and its modes."""

    in_force: tuple[TripInForce, ...]
    digest: str

    def matching(self, context: Context) -> tuple[TripInForce, ...]:
        """The trips that cover this context."""
        return tuple(trip for trip in self.in_force if _matches(trip.selector, context))


class Flags(NamedTuple):
    """The answer to one context."""

    mode: Mode
    enabled: bool
    write: bool
    external: bool


class TripKey(NamedTuple):
    """Two trips of one id but different content both stay in force: neither can hide the other."""

    id: str
    mode: Mode
    selector: Selector


def fold(trips: Iterable[Command], sealed: Mapping[str, Command]) -> SwitchState:
    """The state after all known `trips` and the sealed commands (by id, trips among them)."""
    allowed = loosened(sealed)
    in_force: dict[TripKey, TripInForce] = {}
    for trip in [*trips, *(c for c in sealed.values() if c.command == "trip")]:
        mode = mode_of(trip)
        for request, target in allowed.get(trip.id, ()):
            if may_loosen(request, trip) and RANK[target] < RANK[mode]:
                mode = target
        if mode != "on":
            key = TripKey(trip.id, mode_of(trip), trip.selector or ANYTHING)
            in_force[key] = TripInForce(trip, mode)
    ordered = tuple(in_force[key] for key in sorted(in_force, key=_order))
    return SwitchState(ordered, digest_of(ordered))


def loosened(sealed: Mapping[str, Command]) -> dict[str, list[tuple[Command, Mode]]]:
    """By trip id: the sealed commands that loosen it, and the mode that each leaves it at most."""
    found: dict[str, list[tuple[Command, Mode]]] = {}
    for command in sealed.values():
        effective, target = _loosening(command, sealed)
        if effective is not None:
            for trip_id in effective.trips:
                found.setdefault(trip_id, []).append((command, target))
    return found


def flags_for(mode: Mode, context: Context, approvals: Approvals) -> Flags:
    """The four flags of a context under `mode`.

    An approval opens write and external in mode `approval` only: under `read_only` and `off` nothing
    that an agent can name opens them.
    """
    rank = RANK[mode]
    open_ = rank < RANK["approval"]
    if mode == "approval" and context.approval and context.agents and context.tool:
        open_ = approvals.usable(context.approval, context.agents, context.tool, context.environment)
    return Flags(mode, enabled=mode != "off", write=open_, external=open_)


def join(trips: Collection[TripInForce]) -> Mode:
    """The most restrictive mode; `on` without trips."""
    return MODES[max((RANK[trip.mode] for trip in trips), default=0)]


def mode_of(trip: Command) -> Mode:
    """A trip's own mode. One that names none stops everything: what is unclear is never the looser."""
    return trip.mode or "off"


def same_person(one: str, other: str) -> bool:
    """Whether two names are one person: case and white space make no second person."""
    return "".join(one.split()).casefold() == "".join(other.split()).casefold()


def digest_of(trips: Iterable[TripInForce]) -> str:
    """SHA-256 (hex) over the sorted ids and modes of the trips in force."""
    pairs = sorted((trip.command.id, trip.mode) for trip in trips)
    return hashlib.sha256(msgspec.json.encode(pairs)).hexdigest()


def _matches(selector: Selector, context: Context) -> bool:
    if selector.environment == DRILL_ENVIRONMENT != context.environment:
        return False
    if selector.agent is not None and context.agents and selector.agent.casefold() not in context.agents:
        return False
    return all(
        wanted is None or actual is None or wanted.casefold() == actual
        for wanted, actual in (
            (selector.environment, context.environment),
            (selector.version, context.version),
            (selector.tool, context.tool),
        )
    )


def _loosening(command: Command, sealed: Mapping[str, Command]) -> tuple[Command | None, Mode]:
    """The command that names the trips which `command` loosens and to what mode; None if it does not."""
    if command.command == "reset_approval":
        request = sealed.get(command.request_id or "")
        if request is None or request.command != "reset_request" or same_person(request.by, command.by):
            return None, "on"
        return request, request.mode or "on"
    if command.command == "step_down":
        return command, STEP_DOWN_MODE
    if command.command == "expire":
        return command, "on"
    return None, "on"


def may_loosen(command: Command, trip: Command) -> bool:
    """Whether this kind of loosening is open to this trip, whatever a row claims."""
    if command.command == "step_down":
        return trip.automatic
    if command.command == "expire":
        return trip.until_ms is not None and command.at_ms >= trip.until_ms
    return True


def _order(key: TripKey) -> tuple[str, int, bytes]:
    return key.id, RANK[key.mode], msgspec.json.encode(key.selector)
