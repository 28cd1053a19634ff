"""The endpoint that other control servers push their trips to, and hear of this one's clients."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.killswitch import peers
from pipeline.killswitch.compose import MAX_NAME_CHARS, MAX_REASON_CHARS, MAX_SELECTOR_CHARS, CommandError
from pipeline.killswitch.journal import TRIP_ID
from pipeline.killswitch.peers import PeerAnswer, PeerMessage
from pipeline.killswitch.server import ControlEndpoints, json_response, order_of
from schemas.command import Command, Selector


class PeerEndpoint:
    """`POST /v1/peers/exchange`."""

    def __init__(self, endpoints: ControlEndpoints) -> None:
        self._endpoints = endpoints
        self._switch = endpoints.switch

    def routes(self) -> list[Route]:
        """Its one route."""
        return [Route(peers.PATH, self.exchange, methods=["POST"])]

    async def exchange(self, request: Request) -> Response:
        """Serve the peer's trips, and say what this host's clients do."""
        self._endpoints.allow(request, "peer")
        message = await order_of(request, PeerMessage)
        for one in message.trips:
            _require_trip(one.trip)
        self._switch.take_up(message.trips)
        leases = self._switch.leases
        vouches, counts = leases.counts()
        answer = PeerAnswer(
            host=leases.host, digest=self._switch.state.digest, vouches=vouches, counts=counts
        )
        return json_response(200, answer)


def _require_trip(command: Command) -> None:
    """What a peer may tell is a trip, as one of ours. Raises CommandError."""
    selector = command.selector or Selector()
    attributes = (selector.environment, selector.agent, selector.version, selector.tool)
    fits = (
        command.command == "trip"
        and TRIP_ID.fullmatch(command.id)
        and command.mode != "on"
        and not command.trips
        and command.request_id is None
        and len(command.by) <= MAX_NAME_CHARS
        and len(command.reason) <= MAX_REASON_CHARS
        and all(text is None or 0 < len(text) <= MAX_SELECTOR_CHARS for text in attributes)
    )
    if not fits:
        raise CommandError("invalid", "a peer tells trips, and these as auditfuse makes them")
