"""OFREP 0.3: the flags of the kill switch for any OpenFeature SDK. Plain ASGI on the hot path.

Every field is always sent, since a missing one makes SDKs fall back to their default. There is no 429 and
no other limit on this path: one such answer stops an SDK's evaluations for as long as it says.
"""

import hashlib
from typing import Any, Literal

import msgspec
from starlette.types import Receive, Scope, Send

from pipeline import metrics
from pipeline.killswitch import http
from pipeline.killswitch.auth import Authenticator, Caller
from pipeline.killswitch.contexts import context_of
from pipeline.killswitch.state import FLAGS, Context, Flags, TripInForce, flags_for, join
from pipeline.killswitch.switch import KillSwitch

PATH = "/ofrep/v1/evaluate/flags"
MAX_TRIPS_NAMED = 8
MAX_REMEMBERED = 4096
MAX_REMEMBERED_CHARS = 1024

_single = metrics.ofrep_evaluations.labels("single")
_bulk = metrics.ofrep_evaluations.labels("bulk")


class FlagContext(msgspec.Struct, frozen=True):
    """The attributes that the switch looks at; others are ignored."""

    targetingKey: str | None = None  # noqa: N815 (OFREP's name)
    agent: str | None = None
    environment: str | None = None
    version: str | None = None
    tool: str | None = None
    approval: str | None = None


class FlagRequest(msgspec.Struct, frozen=True):
    """`POST /ofrep/v1/evaluate/flags[/{key}]`. A body that is left out is an empty context."""

    context: FlagContext = FlagContext()


class Evaluation(msgspec.Struct, frozen=True):
    """One flag's answer."""

    key: str
    value: bool | str
    reason: Literal["STATIC", "TARGETING_MATCH"]
    variant: str
    metadata: dict[str, bool | int | str]
    """`digest` and `mode`, the ids of the trips that cover the context, `throttlePerMinute`, `volatile`."""


class Evaluations(msgspec.Struct, frozen=True):
    """All flags at once."""

    flags: list[Evaluation]


class _RefusedError(Exception):
    """A request that is not evaluated, in OFREP's terms."""

    def __init__(self, status: int, code: str, details: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(details)
        self.status, self.code, self.headers = status, code, headers


_decoder = msgspec.json.Decoder(FlagRequest)
_encoder = msgspec.json.Encoder()


class Ofrep:
    """Answers `POST /ofrep/v1/evaluate/flags[/{key}]`."""

    def __init__(self, switch: KillSwitch, authenticator: Authenticator) -> None:
        self._switch = switch
        self._authenticator = authenticator
        self._state = switch.state
        self._remembered: dict[Context, tuple[TripInForce, ...]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request whose path begins with PATH."""
        key = scope["path"][len(PATH) + 1 :]
        try:
            context = await self._asked(scope, receive)
        except _RefusedError as refused:
            body = _error(key, refused.code, str(refused))
            return await http.respond(send, refused.status, body, *refused.headers)
        if key:
            return await self._answer_one(key, context, send)
        return await self._answer_all(context, http.header(scope, b"if-none-match"), send)

    async def _asked(self, scope: Scope, receive: Receive) -> Context:
        """Who asks. Raises _RefusedError."""
        if scope["method"] != "POST":
            raise _RefusedError(405, "GENERAL", "only POST is answered here", (b"allow", b"POST"))
        caller = self._authenticator.caller(http.header(scope, b"authorization"), local=http.is_local(scope))
        if caller is None or "flags" not in caller.rights:
            metrics.control_refusals.labels("ofrep").inc()
            if caller is None:
                self._authenticator.record_failure(http.address(scope))
            raise _RefusedError(401, "GENERAL", "a known bearer token is needed", http.CHALLENGE)
        try:
            context = self._context(await http.read_body(scope, receive), caller)
        except http.BodyError as error:
            metrics.control_refusals.labels("body").inc()
            raise _RefusedError(error.status, "PARSE_ERROR", str(error)) from None
        except msgspec.ValidationError as error:
            raise _RefusedError(400, "INVALID_CONTEXT", str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            text = 'the body must be JSON: {"context": {"targetingKey": "<agent>", …}}'
            raise _RefusedError(400, "PARSE_ERROR", text) from None
        if context is None:
            metrics.control_refusals.labels("agent").inc()
            raise _RefusedError(403, "GENERAL", "this token answers for its own agent only")
        return context

    async def _answer_one(self, key: str, context: Context, send: Send) -> None:
        _single.inc()
        if key not in FLAGS:
            text = f"there is no such flag; there are {', '.join(FLAGS)}"
            return await http.respond(send, 404, _error(key, "FLAG_NOT_FOUND", text))
        flags, metadata = self._evaluate(context)
        return await http.respond(send, 200, _encoder.encode(_evaluation(key, flags, metadata)))

    async def _answer_all(self, context: Context, known: bytes | None, send: Send) -> None:
        _bulk.inc()
        flags, metadata = self._evaluate(context)
        body = _encoder.encode(Evaluations([_evaluation(key, flags, metadata) for key in FLAGS]))
        # The body holds the digest of all trips in force and what they mean for this context.
        etag = f'"{metadata["digest"]}-{hashlib.sha256(body).hexdigest()[:16]}"'.encode()
        if known is not None and etag in [tag.strip().removeprefix(b"W/") for tag in known.split(b",")]:
            return await http.respond(send, 304, b"", (b"etag", etag))
        return await http.respond(send, 200, body, (b"etag", etag))

    def _context(self, body: bytes, caller: Caller) -> Context | None:
        """Who asks; None where an agent's token asks for another agent."""
        asked = _decoder.decode(body).context if body.strip() else FlagContext()
        names = [asked.agent]
        if self._switch.config.targeting_key_is_agent and not (caller.agent and asked.agent):
            names.append(asked.targetingKey)
        if not all(caller.speaks_for(name) for name in names if name and name.strip()):
            return None
        return context_of(
            names,
            self._switch.aliases,
            environment=asked.environment,
            version=asked.version,
            tool=asked.tool,
            approval=asked.approval,
        )

    def _evaluate(self, context: Context) -> tuple[Flags, dict[str, bool | int | str]]:
        state = self._switch.state
        if state is not self._state or len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
            self._state = state
        trips = self._remembered.get(context)
        if trips is None:
            trips = state.matching(context)
            if sum(map(len, filter(None, context))) <= MAX_REMEMBERED_CHARS:
                self._remembered[context] = trips
        flags = flags_for(join(trips), context, self._switch.approvals)
        metadata: dict[str, bool | int | str] = {"digest": state.digest, "mode": flags.mode}
        if trips:
            metadata["trips"] = ",".join(trip.command.id for trip in trips[:MAX_TRIPS_NAMED])
            metadata["tripCount"] = len(trips)
            if any(self._switch.is_volatile(trip.command.id) for trip in trips[:MAX_TRIPS_NAMED]):
                metadata["volatile"] = True
        if flags.mode == "throttle":
            metadata["throttlePerMinute"] = self._switch.config.throttle_per_minute
        return flags, metadata


def _evaluation(key: str, flags: Flags, metadata: dict[str, bool | int | str]) -> Evaluation:
    reason = "STATIC" if flags.mode == "on" else "TARGETING_MATCH"
    if key == "agent.mode":
        return Evaluation(key, flags.mode, reason, flags.mode, metadata)
    value = {"agent.enabled": flags.enabled, "agent.write": flags.write, "agent.external": flags.external}[
        key
    ]
    return Evaluation(key, value, reason, "allowed" if value else "stopped", metadata)


def _error(key: str, code: str, details: str) -> bytes:
    answer: dict[str, Any] = {"key": key[:200]} if key else {}
    return _encoder.encode(answer | {"errorCode": code, "errorDetails": details})
