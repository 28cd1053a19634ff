"""The lease protocol: `POST /v1/leases`, `DELETE /v1/leases/{client}`, `GET /v1/leases/stream`. Plain ASGI.

As on the flags there is no rate limit and no 429: an agent that is not answered stops.
"""

import re
from typing import Annotated
from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive, Scope, Send

from pipeline import metrics
from pipeline.clock import NowMs, system_now_ms
from pipeline.killswitch import http
from pipeline.killswitch.auth import Authenticator, Caller
from pipeline.killswitch.leases import Identity, LeaseError
from pipeline.killswitch.state import SwitchState, TripInForce
from pipeline.killswitch.streams import Streams
from pipeline.killswitch.switch import KillSwitch
from schemas.command import Mode, Selector

PATH = "/v1/leases"
STREAM_PATH = f"{PATH}/stream"
CLIENT = re.compile(r"[A-Za-z0-9_-]{8,64}")
MAX_UNDER_WAY = 32
MAX_QUERY_BYTES = 4096

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_Word = Annotated[str, msgspec.Meta(max_length=200)]


class UnderWay(msgspec.Struct, frozen=True):
    """An action that has begun and not ended."""

    action: _Word = ""
    tool: _Word | None = None
    age_ms: Annotated[int, msgspec.Meta(ge=0, le=10**12)] = 0


class LeaseRequest(msgspec.Struct, frozen=True):
    """`POST /v1/leases`."""

    client: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
    """A random id of this client instance: 8 to 64 letters, digits, `-`, `_`."""
    agent: _Name
    environment: _Name | None = None
    version: _Name | None = None
    acknowledges: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    """The digest of the trips that this client obeys by now."""
    under_way: Annotated[list[UnderWay], msgspec.Meta(max_length=MAX_UNDER_WAY)] = []


class LeasedTrip(msgspec.Struct, frozen=True):
    """A trip in force that may cover this client; the tool is the client's to compare."""

    id: str
    mode: Mode
    selector: Selector
    throttle_per_minute: int | None


class StateEvent(msgspec.Struct, frozen=True):
    """What a stream tells. It never extends a lease."""

    host: str
    digest: str
    at_ms: int
    trips: list[LeasedTrip]


class LeaseAnswer(msgspec.Struct, frozen=True):
    """What a renewal is answered."""

    host: str
    digest: str
    """Names all trips in force, of whomever; acknowledge it once these are obeyed."""
    at_ms: int
    lease_s: float
    renew_s: float
    trips: list[LeasedTrip]


_decoder = msgspec.json.Decoder(LeaseRequest)
_encoder = msgspec.json.Encoder()


class LeaseServer:
    """Answers everything under `/v1/leases`."""

    def __init__(
        self, switch: KillSwitch, authenticator: Authenticator, now_ms: NowMs = system_now_ms
    ) -> None:
        self._switch = switch
        self._desk = switch.leases
        self._authenticator = authenticator
        self._now_ms = now_ms
        self._streams = Streams(switch, self._event)

    def close(self) -> None:
        """End all streams, so that the server can stop. From any thread."""
        self._streams.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request whose path is PATH or begins with it and a slash."""
        caller = self._caller(scope)
        if caller is None or "flags" not in caller.rights:
            metrics.control_refusals.labels("lease").inc()
            if caller is None:
                self._authenticator.record_failure(http.address(scope))
            return await http.refuse(send, 401, "a known bearer token is needed", http.CHALLENGE)
        try:
            await self._route(scope, receive, send, caller)
        except (http.BodyError, LeaseError) as error:
            metrics.control_refusals.labels("lease").inc()
            await http.refuse(send, error.status, str(error))
        except msgspec.ValidationError as error:
            await http.refuse(send, 400, str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            await http.refuse(send, 400, "the body is not JSON")

    def _caller(self, scope: Scope) -> Caller | None:
        return self._authenticator.caller(http.header(scope, b"authorization"), local=http.is_local(scope))

    async def _route(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        path, method = scope["path"], scope["method"]
        if path == PATH:
            allowed, answer = "POST", self._renew
        elif path == STREAM_PATH:
            allowed, answer = "GET", self._stream
        else:
            allowed, answer = "DELETE", self._release
        if method != allowed:
            return await http.refuse(
                send, 405, f"only {allowed} is answered here", (b"allow", allowed.encode())
            )
        return await answer(scope, receive, send, caller)

    async def _renew(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        asked = _decoder.decode(await http.read_body(scope, receive))
        identity = _identity(caller, asked.agent, asked.environment, asked.version)
        state, trips = self._desk.renew(
            asked.client,
            identity,
            acknowledges=asked.acknowledges,
            under_way_s=[one.age_ms / 1000 for one in asked.under_way],
        )
        config = self._switch.config
        answer = LeaseAnswer(
            self._desk.host,
            state.digest,
            self._now_ms(),
            config.lease_s,
            config.renew_s,
            self._leased(trips),
        )
        await http.respond(send, 200, _encoder.encode(answer))

    async def _release(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        del receive
        client = scope["path"][len(PATH) + 1 :]
        if not CLIENT.fullmatch(client):
            raise LeaseError(400, "the client's id is 8 to 64 letters, digits, - and _")
        identity = self._desk.identity(client)
        if identity is not None:
            _require_own(caller, identity.agent)
        if identity is None or not self._desk.release(client):
            raise LeaseError(404, "this client holds no lease here")
        await http.respond(send, 204, b"")

    async def _stream(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        query: bytes = scope["query_string"]
        asked = _query(query)
        identity = _identity(caller, asked.agent, asked.environment, asked.version)

        def is_allowed() -> bool:
            again = self._caller(scope)
            return again is not None and again.speaks_for(identity.agent)

        await self._streams.serve(identity, receive, send, is_allowed)

    def _event(self, identity: Identity) -> tuple[SwitchState, tuple[TripInForce, ...], bytes]:
        state, trips = self._desk.covering(identity)
        event = StateEvent(self._desk.host, state.digest, self._now_ms(), self._leased(trips))
        return state, trips, _encoder.encode(event)

    def _leased(self, trips: tuple[TripInForce, ...]) -> list[LeasedTrip]:
        per_minute = self._switch.config.throttle_per_minute
        return [
            LeasedTrip(
                trip.command.id,
                trip.mode,
                trip.selector,
                per_minute if trip.mode == "throttle" else None,
            )
            for trip in trips
        ]


def _query(query: bytes) -> LeaseRequest:
    """The stream's query, checked as the body of a renewal is."""
    if len(query) > MAX_QUERY_BYTES:
        raise LeaseError(400, f"the query may have at most {MAX_QUERY_BYTES} bytes")
    try:
        given = parse_qs(query.decode("ascii"), errors="strict", max_num_fields=16)
    except ValueError:
        raise LeaseError(400, "the query is not a URL's query in UTF-8") from None
    names = ("client", "agent", "environment", "version")
    return msgspec.convert({name: given[name][-1] for name in names if name in given}, LeaseRequest)


def _identity(caller: Caller, agent: str, environment: str | None, version: str | None) -> Identity:
    """Whom a client speaks for. Raises LeaseError for what its token may not."""
    _require_own(caller, agent)
    if not agent.strip():
        raise LeaseError(400, "agent: say who you are")
    return Identity(agent.strip(), environment, version)


def _require_own(caller: Caller, agent: str) -> None:
    if not caller.speaks_for(agent):
        metrics.control_refusals.labels("agent").inc()
        raise LeaseError(403, "this token answers for its own agent only")
