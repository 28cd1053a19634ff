"""What people order on the incident page, and how it is carried out. Blocking."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar, get_args

from pipeline.clock import NowMs
from pipeline.killswitch.compose import CommandError
from pipeline.killswitch.switch import KillSwitch
from pipeline.redact.reasons import Redact
from pipeline.respond.state import StateDatabase
from pipeline.web.reading import Reading, requests_of
from pipeline.web.visitors import RefusedError
from schemas.command import MODES, Mode, Selector
from schemas.finding import Verdict
from schemas.incident import Incident

REASON_WAIT_S = 10.0
SEAL_WAIT_S = 2.0
MAX_REASON_CHARS = 2_000
MAX_MINUTES = 7 * 24 * 60

Form = Mapping[str, str]
_T = TypeVar("_T")


class Order(NamedTuple):
    """A kind of order."""

    right: str
    done: str
    """What is said of it afterwards."""


ORDERS: Mapping[str, Order] = {
    "ack": Order("request", "You have taken it on."),
    "resolve": Order("request", "It is resolved."),
    "trip": Order("trip", "The trip is served. Whether the agent obeys is shown below."),
    "reset": Order("request", "The reset waits for another person to approve it."),
    "approve": Order("approve", "The reset is approved."),
    "step-down": Order("request", "The trip is stepped down to read_only."),
}


class Orders:
    """Carries orders out, each in the name of a person."""

    def __init__(
        self, state: StateDatabase, switch: KillSwitch, reading: Reading, redact: Redact, now_ms: NowMs
    ) -> None:
        """`redact` makes a person's words fit to be kept; the switch does so itself."""
        self._state = state
        self._switch = switch
        self._reading = reading
        self._redact = redact
        self._now_ms = now_ms
        self._by_kind: Mapping[str, Callable[[Incident, str, Form], None]] = {
            "ack": self._acknowledge,
            "resolve": self._resolve,
            "trip": self._trip,
            "reset": self._request_reset,
            "approve": self._approve,
            "step-down": self._step_down,
        }

    def carry_out(self, kind: str, incident_id: str, by: str, form: Form) -> None:
        """Raises RefusedError, CommandError, StoreError for an unknown incident, StateUnavailable."""
        incident = self._state.incident(incident_id).incident
        self._by_kind[kind](incident, by, form)

    def _acknowledge(self, incident: Incident, by: str, form: Form) -> None:
        reason = self._fit(form.get("reason", ""))
        self._state.acknowledge(incident.incident_id, by, reason, self._now_ms())

    def _resolve(self, incident: Incident, by: str, form: Form) -> None:
        verdict = _one_of(form.get("verdict"), get_args(Verdict), "verdict")
        reason = self._fit(form.get("reason", ""))
        self._state.resolve(incident.incident_id, by, reason, self._now_ms(), verdict)

    def _trip(self, incident: Incident, by: str, form: Form) -> None:
        if not can_trip(incident):
            raise RefusedError(
                400, "this incident is not of one agent: trip by the command line, which names it"
            )
        finding_id = self._state.incident(incident.incident_id).lead.id
        everywhere = form.get("where") == "everywhere"
        self._switch.trip(
            Selector(agent=incident.agent_id, environment=None if everywhere else incident.environment),
            _mode(form.get("mode"), "trip"),
            by=by,
            reason=_reason(form),
            until_ms=self._end(form.get("minutes", "")),
            finding_id=finding_id,
        )

    def _request_reset(self, incident: Incident, by: str, form: Form) -> None:
        command = self._switch.request_reset(
            self._covering(incident, form), by=by, reason=_reason(form), mode=_mode(form.get("mode"), "reset")
        )
        self._switch.wait_sealed(command.id, SEAL_WAIT_S)

    def _approve(self, incident: Incident, by: str, form: Form) -> None:
        request_id = form.get("request", "")
        status = self._switch.status()
        if request_id not in {one.id for one in requests_of(status, self._reading.trips(status, incident))}:
            raise CommandError("unknown", "there is no such reset request for this agent any more")
        command = self._switch.approve_reset(request_id, by=by, reason=_reason(form))
        self._switch.wait_sealed(command.id, SEAL_WAIT_S)

    def _step_down(self, incident: Incident, by: str, form: Form) -> None:
        command = self._switch.step_down(self._covering(incident, form), by=by, reason=_reason(form))
        self._switch.wait_sealed(command.id, SEAL_WAIT_S)

    def _covering(self, incident: Incident, form: Form) -> list[str]:
        """The one trip that the form names, if it covers the incident's agent."""
        trip_id = form.get("trip", "")
        if trip_id not in {trip.id for trip in self._reading.trips(self._switch.status(), incident)}:
            raise CommandError("unknown", "no such trip is in force for this agent any more")
        return [trip_id]

    def _end(self, minutes: str) -> int | None:
        if not minutes.strip():
            return None
        if not minutes.strip().isdecimal() or not 0 < int(minutes) <= MAX_MINUTES:
            raise RefusedError(400, f"minutes must be a number from 1 to {MAX_MINUTES}, or empty")
        return self._now_ms() + int(minutes) * 60_000

    def _fit(self, reason: str) -> str:
        return self._redact(reason.strip()[:MAX_REASON_CHARS], REASON_WAIT_S)


def can_trip(incident: Incident) -> bool:
    """Whether it is of one agent, which a trip can name."""
    return incident.agent_id not in ("", "*") and not incident.agent_id.startswith("source:")


def _reason(form: Form) -> str:
    reason = form.get("reason", "").strip()
    if not reason:
        raise RefusedError(400, "say why: it is kept in the audit store")
    return reason[:MAX_REASON_CHARS]


def _mode(text: str | None, order: str) -> Mode:
    allowed = MODES[1:] if order == "trip" else MODES[:-1]
    mode = _one_of(text, allowed, "mode")
    if mode is None:
        raise RefusedError(400, f"choose a mode: {', '.join(map(str, allowed))}")
    return mode


def _one_of(text: str | None, allowed: Sequence[_T], what: str) -> _T | None:
    if not text:
        return None
    for one in allowed:
        if text == one:
            return one
    raise RefusedError(400, f"{what} must be one of {', '.join(map(str, allowed))}")
