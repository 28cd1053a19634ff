"""The control endpoints: status, trips, resets and step downs, for people and programs with a token."""

import time
from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread
import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline import metrics
from pipeline.errors import AuditfuseError
from pipeline.killswitch import http
from pipeline.killswitch.attempts import MAX_WAITING_S
from pipeline.killswitch.auth import Authenticator, Caller
from pipeline.killswitch.compose import CommandError
from pipeline.killswitch.switch import KillSwitch
from schemas.command import Command, Mode, Selector

SEAL_WAIT_S = 2.0
"""How long an answer about loosening waits for it to be sealed."""

_MORE_HEADERS = {401: {"www-authenticate": "Bearer"}, 429: {"retry-after": f"{MAX_WAITING_S:.0f}"}}
_STATUS_OF = {"invalid": 400, "unknown": 404, "conflict": 409}

_BodyT = TypeVar("_BodyT", bound=msgspec.Struct)


class TripOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/killswitch/trips`."""

    mode: Mode
    reason: str
    selector: Selector
    by: str | None = None
    until_ms: int | None = None


class ResetOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/killswitch/resets` and `/step-downs`."""

    trips: list[str]
    reason: str
    by: str | None = None
    mode: Mode = "on"


class ApprovalOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/killswitch/resets/{id}/approval`."""

    reason: str
    by: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an order. `digest` names the trips in force after it."""

    command: Command
    standing: str
    digest: str
    next: str
    """What is still needed, in plain words; empty where nothing is."""


class DeniedError(AuditfuseError):
    """No known token, or one whose role may not. The answer waits for `delay_s`."""

    def __init__(self, status: int, text: str, delay_s: float = 0.0) -> None:
        super().__init__(text)
        self.status = status
        self.delay_s = delay_s


def allowed(authenticator: Authenticator, request: Request, right: str) -> Caller:
    """The caller, who has this right. Raises what `answer_errors` turns into 401 or 403."""
    authorization = http.header(request.scope, b"authorization")
    caller = authenticator.caller(authorization, local=http.is_local(request.scope))
    if caller is None:
        metrics.control_refusals.labels("token").inc()
        raise _denied(authenticator.record_failure(http.address(request.scope)))
    if authorization is None and right not in caller.rights:
        metrics.control_refusals.labels("token").inc()
        raise DeniedError(401, "a known bearer token is needed")
    if right not in caller.rights:
        metrics.control_refusals.labels("role").inc()
        raise DeniedError(403, f"this token's role may not {right}")
    return caller


class ControlEndpoints:
    """The handlers of `/v1/killswitch`."""

    def __init__(self, switch: KillSwitch, authenticator: Authenticator) -> None:
        self.switch = self._switch = switch
        self._authenticator = authenticator

    @property
    def authenticator(self) -> Authenticator:
        """Who may: for the other pages of this server."""
        return self._authenticator

    def routes(self) -> list[Route]:
        """The routes of all endpoints."""
        base = "/v1/killswitch"
        return [
            Route(base, self.status, methods=["GET"]),
            Route(f"{base}/trips", self.trip, methods=["POST"]),
            Route(f"{base}/resets", self.request_reset, methods=["POST"]),
            Route(f"{base}/resets/{{request_id}}/approval", self.approve_reset, methods=["POST"]),
            Route(f"{base}/step-downs", self.step_down, methods=["POST"]),
        ]

    def allow(self, request: Request, right: str) -> Caller:
        """As `allowed`."""
        return allowed(self._authenticator, request, right)

    async def status(self, request: Request) -> Response:
        """All trips in force, open requests and the health of the switch."""
        self.allow(request, "view")
        status = await anyio.to_thread.run_sync(self._switch.status)
        attempts = self._authenticator.attempts.status(time.monotonic())
        warnings = self._switch.config.warnings(has_tokens=self._authenticator.has_tokens)
        return json_response(200, msgspec.structs.replace(status, attempts=attempts, warnings=warnings))

    async def trip(self, request: Request) -> Response:
        """Trip. 201 once it is served; `standing` tells how safe its record is."""
        caller = self.allow(request, "trip")
        order = await order_of(request, TripOrder)

        def carry_out() -> Command:
            return self._switch.trip(
                order.selector,
                order.mode,
                by=_name(caller, order.by),
                reason=order.reason,
                until_ms=order.until_ms,
            )

        return await self._carry_out(carry_out, loosens=False)

    async def request_reset(self, request: Request) -> Response:
        """Ask for trips to be lifted."""
        caller = self.allow(request, "request")
        order = await order_of(request, ResetOrder)

        def carry_out() -> Command:
            return self._switch.request_reset(
                order.trips, by=_name(caller, order.by), reason=order.reason, mode=order.mode
            )

        return await self._carry_out(carry_out, loosens=True)

    async def approve_reset(self, request: Request) -> Response:
        """Approve a request, as somebody else than who made it."""
        caller = self.allow(request, "approve")
        order = await order_of(request, ApprovalOrder)
        request_id: str = request.path_params["request_id"]

        def carry_out() -> Command:
            return self._switch.approve_reset(request_id, by=_name(caller, order.by), reason=order.reason)

        return await self._carry_out(carry_out, loosens=True)

    async def step_down(self, request: Request) -> Response:
        """Take automatic trips down to read_only."""
        caller = self.allow(request, "request")
        order = await order_of(request, ResetOrder)

        def carry_out() -> Command:
            return self._switch.step_down(order.trips, by=_name(caller, order.by), reason=order.reason)

        return await self._carry_out(carry_out, loosens=True)

    async def _carry_out(self, carry_out: Callable[[], Command], *, loosens: bool) -> Response:
        def run() -> Command:
            command = carry_out()
            if loosens:
                self._switch.wait_sealed(command.id, SEAL_WAIT_S)
            return command

        command = await anyio.to_thread.run_sync(run)
        standing = self._switch.standing(command.id)
        answer = Answer(
            command=command,
            standing=standing,
            digest=self._switch.state.digest,
            next=still_needed(command, standing),
        )
        return json_response(201 if standing in {"sealed", "journaled"} else 202, answer)


def still_needed(command: Command, standing: str) -> str:
    """What is still needed for a command to have its effect, or to last; empty where nothing is."""
    if command.command == "trip":
        if standing == "volatile":
            return (
                "The trip is served, but from memory alone: the journal cannot be written. "
                "Until it is sealed, a restart forgets it."
            )
        return ""
    if standing != "sealed":
        return "It is not sealed yet, and loosens nothing before: the store cannot be written now."
    if command.command == "reset_request":
        return f"Another person must approve: auditfuse killswitch reset --approve {command.id}"
    return ""


def refusal(error: Exception) -> Response:
    """The answer to an order that is not carried out: what is wrong, and nothing else."""
    if isinstance(error, http.BodyError | DeniedError):
        if isinstance(error, http.BodyError):
            metrics.control_refusals.labels("body").inc()
        return json_response(error.status, {"error": str(error)}, _MORE_HEADERS.get(error.status))
    if isinstance(error, CommandError):
        metrics.control_refusals.labels(error.kind).inc()
        return json_response(_STATUS_OF[error.kind], {"error": str(error)})
    if isinstance(error, HTTPException):
        headers = dict(error.headers) if error.headers else None
        return json_response(error.status_code, {"error": error.detail}, headers)
    raise error


def _denied(delay_s: float | None) -> DeniedError:
    if delay_s is None:
        return DeniedError(429, "too many attempts with tokens that are not known")
    return DeniedError(401, "a known bearer token is needed", delay_s)


async def order_of(request: Request, kind: type[_BodyT]) -> _BodyT:
    """The request's body. Raises BodyError, CommandError."""
    body = await http.read_body(request.scope, request.receive)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise CommandError("invalid", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise CommandError("invalid", "the body is not JSON") from None


def _name(caller: Caller, asserted: str | None) -> str:
    """The name that is recorded: a token's own, else the one given with the machine's token."""
    if caller.name is not None:
        return caller.name
    if asserted is None:
        raise CommandError("invalid", "by: say who you are")
    return asserted


def json_response(status: int, content: object, headers: dict[str, str] | None = None) -> Response:
    """An answer as JSON."""
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")
