"""The endpoints of drills: begin one, store what it measured, and read how the last ones went."""

import secrets
from typing import Annotated

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.clock import NowMs, system_now_ms
from pipeline.killswitch import drill
from pipeline.killswitch.auth import Caller
from pipeline.killswitch.compose import MAX_NAME_CHARS, CommandError
from pipeline.killswitch.drill import ClientMeasure, DrillResult
from pipeline.killswitch.server import Answer, ControlEndpoints, json_response, order_of
from pipeline.killswitch.state import DRILL_ENVIRONMENT
from schemas.command import Command

MIN_S, MAX_S = 1.0, 300.0
MAX_CLIENTS = 256
SHOWN = 20


class DrillOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/killswitch/drills`."""

    agent: str = drill.DEFAULT_AGENT
    seconds: Annotated[float, msgspec.Meta(ge=MIN_S, le=MAX_S)] = 15.0
    """After which the trip ends by itself."""
    by: str | None = None


class DrillReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/killswitch/drills/{trip}/result`."""

    clients: Annotated[list[ClientMeasure], msgspec.Meta(max_length=MAX_CLIENTS)]
    enforcement: Annotated[str, msgspec.Meta(max_length=40)] = "unknown"


class Drills(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /v1/killswitch/drills`."""

    last_good: DrillResult | None
    overdue: str | None
    """What to do where the last good drill is too old."""
    drills: list[DrillResult]
    """The latest, the newest first."""


class DrillEndpoints:
    """The handlers of `/v1/killswitch/drills`."""

    def __init__(self, endpoints: ControlEndpoints, now_ms: NowMs = system_now_ms) -> None:
        self._endpoints = endpoints
        self._switch = endpoints.switch
        self._now_ms = now_ms

    def routes(self) -> list[Route]:
        """The routes of all endpoints."""
        base = "/v1/killswitch/drills"
        return [
            Route(base, self.show, methods=["GET"]),
            Route(base, self.begin, methods=["POST"]),
            Route(f"{base}/{{trip_id}}/result", self.keep, methods=["POST"]),
        ]

    async def begin(self, request: Request) -> Response:
        """A finding of the drill's own scope, decided by the policy, tripped and served as any other."""
        caller = self._endpoints.allow(request, "trip")
        order = await order_of(request, DrillOrder)
        if not drill.AGENT.fullmatch(order.agent):
            raise CommandError(
                "invalid", "a drill's agent is drill- and lower-case letters, digits or hyphens"
            )
        by = _name(caller, order.by)
        command = await anyio.to_thread.run_sync(lambda: self._trip(order, by))
        standing = self._switch.standing(command.id)
        answer = Answer(command=command, standing=standing, digest=self._switch.state.digest, next="")
        return json_response(201 if standing in {"sealed", "journaled"} else 202, answer)

    async def keep(self, request: Request) -> Response:
        """Store what a drill measured; whether it was good is judged here."""
        self._endpoints.allow(request, "trip")
        report = await order_of(request, DrillReport)
        trip_id: str = request.path_params["trip_id"]
        result = await anyio.to_thread.run_sync(lambda: self._keep(trip_id, report))
        return json_response(201, result)

    async def show(self, request: Request) -> Response:
        """The latest drills."""
        self._endpoints.allow(request, "view")
        results = await anyio.to_thread.run_sync(lambda: drill.load(self._switch.config.journal))
        good = max((one for one in results if one.good), key=lambda one: one.at_ms, default=None)
        return json_response(
            200,
            Drills(
                last_good=good,
                overdue=drill.overdue(good, self._switch.config, self._now_ms()),
                drills=results[: -SHOWN - 1 : -1],
            ),
        )

    def _trip(self, order: DrillOrder, by: str) -> Command:
        now_ms = self._now_ms()
        finding = drill.drill_finding(order.agent, secrets.token_hex(8), now_ms)
        decision = drill.decide_drill(finding, now_ms)
        if decision.action != "trip" or decision.mode == "on":
            raise CommandError("conflict", f"the policy does not trip: {decision.reason}")
        return self._switch.trip(
            decision.selector,
            decision.mode,
            by=by,
            reason="a drill",
            until_ms=now_ms + int(order.seconds * 1000),
            finding_id=finding.finding_id,
        )

    def _keep(self, trip_id: str, report: DrillReport) -> DrillResult:
        trip = next((one for one in self._switch.commands() if one.id == trip_id), None)
        selector = trip.selector if trip is not None else None
        if trip is None or selector is None or selector.environment != DRILL_ENVIRONMENT:
            raise CommandError("unknown", f"there was no drill {trip_id[:80]}")
        why = drill.judge(report.clients, report.enforcement, self._switch.config)
        result = DrillResult(
            trip=trip.id,
            at_ms=trip.at_ms,
            by=trip.by,
            agent=selector.agent or "",
            good=not why,
            why=why,
            enforcement=report.enforcement,
            clients=report.clients,
        )
        try:
            drill.keep(self._switch.config.journal, result)
        except OSError:
            raise CommandError(
                "conflict", "the journal cannot be written: the result is not stored"
            ) from None
        return result


def _name(caller: Caller, asserted: str | None) -> str:
    """A token's own name, else the one given with the machine's token."""
    name = caller.name or (asserted or "").strip()
    if not 0 < len(name) <= MAX_NAME_CHARS:
        raise CommandError("invalid", "by: say who you are")
    return name
