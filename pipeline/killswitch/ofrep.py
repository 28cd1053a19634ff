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
from pipeline.killswitch.auth import Authenticator
from pipeline.killswitch.compose import MAX_SELECTOR_CHARS
from pipeline.killswitch.state import FLAGS, Context, Flags, TripInForce, flags_for, join
from pipeline.killswitch.switch import KillSwitch

PATH = "/ofrep/v1/evaluate/flags"
MAX_TRIPS_NAMED = 8
MAX_REMEMBERED = 4096
MAX_REMEMBERED_CHARS = 1024

_single = metrics.ofrep_evaluations.labels("single")
_bulk = metrics.ofrep_evaluations.labels("bulk")


class _AskedContext(msgspec.Struct, frozen=True):
    """The attributes that the switch looks at; others are ignored."""

    targetingKey: str | None = None  # noqa: N815 (OFREP's name)
    agent: str | None = None
    environment: str | None = None
    version: str | None = None
    tool: str | None = None
    approval: str | None = None


class _Request(msgspec.Struct, frozen=True):
    context: _AskedContext = _AskedContext()


class _Evaluation(msgspec.Struct, frozen=True):
    key: str
    value: bool | str
    reason: Literal["STATIC", "TARGETING_MATCH"]
    variant: str
    metadata: dict[str, bool | int | str]


_decoder = msgspec.json.Decoder(_Request)
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
        refusal = self._refusal(scope, key)
        if refusal is not None:
            return await http.respond(send, *refusal)
        try:
            context = self._context(await http.read_body(scope, receive))
        except http.BodyError as error:
            return await http.respond(send, error.status, _error(key, "PARSE_ERROR", str(error)))
        except msgspec.ValidationError as error:
            return await http.respond(send, 400, _error(key, "INVALID_CONTEXT", str(error)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            text = 'the body must be JSON: {"context": {"targetingKey": "<agent>", …}}'
            return await http.respond(send, 400, _error(key, "PARSE_ERROR", text))
        if key:
            return await self._answer_one(key, context, send)
        return await self._answer_all(context, http.header(scope, b"if-none-match"), send)

    def _refusal(self, scope: Scope, key: str) -> tuple[int, bytes, tuple[bytes, bytes]] | None:
        if scope["method"] != "POST":
            return 405, _error(key, "GENERAL", "only POST is answered here"), (b"allow", b"POST")
        caller = self._authenticator.caller(http.header(scope, b"authorization"), local=http.is_local(scope))
        if caller is None or "flags" not in caller.rights:
            metrics.control_refusals.labels("ofrep").inc()
            return (
                401,
                _error(key, "GENERAL", "a known bearer token is needed"),
                (b"www-authenticate", b"Bearer"),
            )
        return None

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
        body = _encoder.encode({"flags": [_evaluation(key, flags, metadata) for key in FLAGS]})
        # The body holds the digest of all trips in force and what they mean for this context.
        etag = f'"{metadata["digest"]}-{hashlib.sha256(body).hexdigest()[:16]}"'.encode()
        if known is not None and etag in [tag.strip().removeprefix(b"W/") for tag in known.split(b",")]:
            return await http.respond(send, 304, b"", (b"etag", etag))
        return await http.respond(send, 200, body, (b"etag", etag))

    def _context(self, body: bytes) -> Context:
        asked = _decoder.decode(body).context if body.strip() else _AskedContext()
        names = [asked.agent]
        if self._switch.config.targeting_key_is_agent:
            names.append(asked.targetingKey)
        names += [alias for name in names if name for alias in self._switch.aliases(name.strip())]
        agents = [_normal(name) for name in names if name and name.strip()]
        known = frozenset(name for name in agents if name is not None)
        return Context(
            agents=known if known and None not in agents else None,
            environment=_normal(asked.environment),
            version=_normal(asked.version),
            tool=_normal(asked.tool),
            approval=asked.approval or None,
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


def _evaluation(key: str, flags: Flags, metadata: dict[str, bool | int | str]) -> _Evaluation:
    reason = "STATIC" if flags.mode == "on" else "TARGETING_MATCH"
    if key == "agent.mode":
        return _Evaluation(key, flags.mode, reason, flags.mode, metadata)
    value = {"agent.enabled": flags.enabled, "agent.write": flags.write, "agent.external": flags.external}[
        key
    ]
    return _Evaluation(key, value, reason, "allowed" if value else "stopped", metadata)


def _normal(text: str | None) -> str | None:
    """Casefolded. What is empty, or too long for a selector, is missing: covered by every trip."""
    short = text.strip() if text else ""
    return short.casefold() if 0 < len(short) <= MAX_SELECTOR_CHARS else None


def _error(key: str, code: str, details: str) -> bytes:
    answer: dict[str, Any] = {"key": key[:200]} if key else {}
    return _encoder.encode(answer | {"errorCode": code, "errorDetails": details})
