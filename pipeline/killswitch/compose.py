"""Kill-switch commands made from what a person or a policy asks for. Pure; refuses what makes no sense."""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Literal

import msgspec

from pipeline.errors import AuditfuseError
from pipeline.redact.reasons import Redact
from schemas.command import MODES, Command, Mode, Selector

MAX_NAME_CHARS = 200
MAX_SELECTOR_CHARS = 512
MAX_REASON_CHARS = 2000


class CommandError(AuditfuseError):
    """A command that is not carried out. `kind` says why: it is not valid, names nothing known, or
    conflicts with the rules (the same person twice, a trip that cannot be stepped down)."""

    def __init__(self, kind: Literal["invalid", "unknown", "conflict"], text: str) -> None:
        super().__init__(text)
        self.kind = kind


def fit_to_keep(command: Command, redact: Redact, wait_s: float) -> Command:
    """The command with its reason redacted, and cut to what is kept."""
    return msgspec.structs.replace(command, reason=redact(command.reason, wait_s)[:MAX_REASON_CHARS])


def new_trip(
    *,
    selector: Selector,
    mode: Mode,
    by: str,
    reason: str,
    at_ms: int,
    until_ms: int | None = None,
    finding_id: str | None = None,
    automatic: bool = False,
) -> Command:
    """A trip. The id of an automatic one follows from its finding, so that a repeat is the same trip.

    What is too long or blank is refused, but never in an automatic trip, where it is cut: no agent gets
    away by its name. (A context with a name beyond the limit is covered by every trip.)
    """
    if mode not in MODES[1:]:
        raise CommandError("invalid", f"mode must be one of {', '.join(MODES[1:])}")
    if until_ms is not None and until_ms <= at_ms:
        raise CommandError("invalid", "the end of a trip must lie in the future")
    if automatic and finding_id is None:
        raise CommandError("invalid", "an automatic trip must name its finding")
    return Command(
        id=automatic_trip_id(finding_id) if automatic and finding_id else "trip_" + secrets.token_hex(6),
        command="trip",
        at_ms=at_ms,
        by=_text("by", by, MAX_NAME_CHARS),
        automatic=automatic,
        reason=reason[:MAX_REASON_CHARS] if automatic else _text("reason", reason, MAX_REASON_CHARS),
        selector=Selector(
            environment=_attribute("environment", selector.environment, cut=automatic),
            agent=_attribute("agent", selector.agent, cut=automatic),
            version=_attribute("version", selector.version, cut=automatic),
            tool=_attribute("tool", selector.tool, cut=automatic),
        ),
        mode=mode,
        until_ms=until_ms,
        finding_id=finding_id,
    )


def automatic_trip_id(finding_id: str) -> str:
    """The id of the automatic trip of a finding."""
    return "trip_" + hashlib.sha256(finding_id.encode()).hexdigest()[:24]


def new_reset_request(*, trips: Sequence[str], by: str, reason: str, at_ms: int, mode: Mode) -> Command:
    """A request to lift trips (mode `on`) or to loosen them to `mode`; nothing changes until approved."""
    if mode not in MODES[:-1]:
        raise CommandError("invalid", f"a reset goes to one of {', '.join(MODES[:-1])}")
    return _loosening("reset_request", "reset", trips=trips, by=by, reason=reason, at_ms=at_ms, mode=mode)


def new_reset_approval(*, request: Command, by: str, reason: str, at_ms: int) -> Command:
    """The second person's word on a request."""
    return Command(
        id="approval_" + secrets.token_hex(6),
        command="reset_approval",
        at_ms=at_ms,
        by=_text("by", by, MAX_NAME_CHARS),
        automatic=False,
        reason=_text("reason", reason, MAX_REASON_CHARS),
        trips=request.trips,
        mode=request.mode,
        request_id=request.id,
    )


def new_step_down(*, trips: Sequence[str], by: str, reason: str, at_ms: int) -> Command:
    """One person takes automatic trips down to read_only."""
    return _loosening(
        "step_down", "stepdown", trips=trips, by=by, reason=reason, at_ms=at_ms, mode="read_only"
    )


def new_expire(trip: Command, at_ms: int) -> Command:
    """The end that was set when the trip was made. One id per trip, whichever host is first."""
    return Command(
        id="expire_" + trip.id.removeprefix("trip_"),
        command="expire",
        at_ms=at_ms,
        by="auditfuse",
        automatic=True,
        reason="the end that was set with the trip has come",
        trips=[trip.id],
    )


def _loosening(
    command: Literal["reset_request", "step_down"],
    prefix: str,
    *,
    trips: Sequence[str],
    by: str,
    reason: str,
    at_ms: int,
    mode: Mode,
) -> Command:
    if not trips:
        raise CommandError("invalid", "name at least one trip (auditfuse killswitch status lists them)")
    return Command(
        id=f"{prefix}_" + secrets.token_hex(6),
        command=command,
        at_ms=at_ms,
        by=_text("by", by, MAX_NAME_CHARS),
        automatic=False,
        reason=_text("reason", reason, MAX_REASON_CHARS),
        trips=sorted(set(trips)),
        mode=mode,
    )


def _attribute(field: str, text: str | None, *, cut: bool) -> str | None:
    if text is None or cut:
        return text and text.strip()[:MAX_SELECTOR_CHARS]
    return _text(field, text, MAX_SELECTOR_CHARS)


def _text(field: str, text: str, limit: int) -> str:
    if not 0 < len(text.strip()) <= limit:
        raise CommandError("invalid", f"{field} must have 1 to {limit} characters")
    return text.strip()
