"""The HTTP operations that docs/openapi.yaml describes. A test compares them with the routes there are."""

from dataclasses import dataclass
from typing import Any

import msgspec

from pipeline.killswitch.drill import DrillResult
from pipeline.killswitch.drill_http import DrillOrder, DrillReport, Drills
from pipeline.killswitch.lease_server import LeaseAnswer, LeaseRequest, StateEvent
from pipeline.killswitch.ofrep import FLAGS, Evaluation, Evaluations, FlagRequest
from pipeline.killswitch.peers import PeerAnswer, PeerMessage
from pipeline.killswitch.server import Answer, ApprovalOrder, ResetOrder, TripOrder
from pipeline.killswitch.status import Status

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
Parameter = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """One method of one path. `answers` are by status; what is not in it is `error`."""

    path: str
    method: str
    id: str
    summary: str
    statuses: tuple[int, ...]
    answer: type | str | None
    """Of every status below 300."""
    right: str | None = None
    open_on_loopback: bool = False
    error: str | None = "Error"
    body: type | str | None = None
    body_required: bool = True
    body_media: tuple[str, ...] = (JSON,)
    media: str = JSON
    parameters: tuple[Parameter, ...] = ()
    in_protobuf: bool = False
    """Whether who sends protobuf is answered in it."""

    def answer_of(self, status: int) -> type | str | None:
        """What a status carries."""
        if status in (204, 304) or 300 <= status < 400:
            return None
        return self.answer if status < 300 or self.id == "readyz" else self.error

    def media_of(self, status: int) -> str:
        """As what it carries it."""
        is_page = self.media == "text/html"
        return self.media if status < 300 or is_page else JSON

    def structs(self) -> list[type[msgspec.Struct]]:
        """The structs that it takes and gives."""
        parts = [self.body, self.answer, *([StateEvent] if self.id == "lease_stream" else [])]
        return [part for part in parts if isinstance(part, type)]


def path_parameter(name: str, **schema: Any) -> Parameter:
    """A part of the path."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", **schema}}


def _query(name: str, *, required: bool = False, **schema: Any) -> Parameter:
    return {"name": name, "in": "query", "required": required, "schema": {"type": "string", **schema}}


_BODY = (400, 401, 403, 408, 413)
_ORDER = (*_BODY, 404, 409, 429)
_SWITCH = "/v1/killswitch"
_FLAGS = "/ofrep/v1/evaluate/flags"
_ID = {"minLength": 1, "maxLength": 200}
_NAME = {"minLength": 1, "maxLength": 512}
_CLIENT = {"pattern": "^[A-Za-z0-9_-]{8,64}$"}
_LEASED = {"right": "flags", "open_on_loopback": True}
_VIEW = {"right": "view", "open_on_loopback": True}
_PAGE = {"media": "text/html", "error": "Text"}

FLAG_OPERATIONS = (
    Operation(
        _FLAGS,
        "post",
        "evaluate_flags",
        "All flags of a context.",
        (200, 304, *_BODY, 405),
        Evaluations,
        error="FlagError",
        body=FlagRequest,
        body_required=False,
        **_LEASED,
        parameters=({"name": "if-none-match", "in": "header", "schema": {"type": "string"}},),
    ),
    Operation(
        f"{_FLAGS}/{{key}}",
        "post",
        "evaluate_flag",
        "One flag of a context.",
        (200, *_BODY, 404, 405),
        Evaluation,
        error="FlagError",
        body=FlagRequest,
        body_required=False,
        **_LEASED,
        parameters=(path_parameter("key", examples=list(FLAGS), **_ID),),
    ),
)
LEASE_OPERATIONS = (
    Operation(
        "/v1/leases",
        "post",
        "renew_lease",
        "Get or renew a client's lease.",
        (200, *_BODY, 405, 409, 503),
        LeaseAnswer,
        body=LeaseRequest,
        **_LEASED,
    ),
    Operation(
        "/v1/leases/stream",
        "get",
        "lease_stream",
        "Server-sent events: `event: state`, whose data is a StateEvent, at once and after every change.",
        (200, 400, 401, 403, 405, 503),
        "StreamEvent",
        media="text/event-stream",
        **_LEASED,
        parameters=(
            _query("client", required=True, **_CLIENT),
            _query("agent", required=True, **_NAME),
            _query("environment", **_NAME),
            _query("version", **_NAME),
        ),
    ),
    Operation(
        "/v1/leases/{client}",
        "delete",
        "end_lease",
        "A client's goodbye.",
        (204, 400, 401, 403, 404, 405),
        None,
        **_LEASED,
        parameters=(path_parameter("client", **_CLIENT),),
    ),
)
SWITCH_OPERATIONS = (
    Operation(
        _SWITCH,
        "get",
        "status",
        "Trips, requests, enforcement, health.",
        (200, 401, 403, 429),
        Status,
        **_VIEW,
    ),
    Operation(
        f"{_SWITCH}/trips", "post", "trip", "Trip.", (201, 202, *_ORDER), Answer, "trip", body=TripOrder
    ),
    Operation(
        f"{_SWITCH}/resets",
        "post",
        "request_reset",
        "Ask for trips to be lifted.",
        (201, 202, *_ORDER),
        Answer,
        "request",
        body=ResetOrder,
    ),
    Operation(
        f"{_SWITCH}/resets/{{request_id}}/approval",
        "post",
        "approve_reset",
        "Approve a reset as another person.",
        (201, 202, *_ORDER),
        Answer,
        "approve",
        body=ApprovalOrder,
        parameters=(path_parameter("request_id", **_ID),),
    ),
    Operation(
        f"{_SWITCH}/step-downs",
        "post",
        "step_down",
        "Take automatic trips down to read_only.",
        (201, 202, *_ORDER),
        Answer,
        "request",
        body=ResetOrder,
    ),
    Operation(
        f"{_SWITCH}/drills", "get", "drills", "The latest drills.", (200, 401, 403, 429), Drills, **_VIEW
    ),
    Operation(
        f"{_SWITCH}/drills",
        "post",
        "begin_drill",
        "Trip a synthetic agent.",
        (201, 202, *_ORDER),
        Answer,
        "trip",
        body=DrillOrder,
    ),
    Operation(
        f"{_SWITCH}/drills/{{trip_id}}/result",
        "post",
        "keep_drill",
        "Store what a drill has measured.",
        (201, *_ORDER),
        DrillResult,
        "trip",
        body=DrillReport,
        parameters=(path_parameter("trip_id", **_ID),),
    ),
    Operation(
        "/v1/peers/exchange",
        "post",
        "exchange",
        "Another control server: its trips, and what clients here do.",
        (200, *_ORDER),
        PeerAnswer,
        "peer",
        body=PeerMessage,
    ),
)
PAGE_OPERATIONS = (
    Operation(
        "/incidents",
        "get",
        "incidents",
        "The list of incidents.",
        (200, 401, 403, 503),
        "Text",
        "view",
        **_PAGE,
    ),
    Operation(
        "/incidents/{incident_id}",
        "get",
        "incident",
        "One incident. Changes nothing.",
        (200, 401, 403, 404, 503),
        "Text",
        "view",
        **_PAGE,
        parameters=(
            path_parameter("incident_id", **_ID),
            _query("link", maxLength=200),
            _query("done", maxLength=40),
        ),
    ),
    Operation(
        "/incidents/session",
        "post",
        "sign_in",
        "Sign in with a token.",
        (303, 400, 401, 403, 408, 413, 415, 429, 503),
        "Text",
        body="Form",
        body_media=(FORM,),
        **_PAGE,
    ),
    Operation(
        "/incidents/session/end", "post", "sign_out", "Sign out.", (303, 400, 401, 403, 503), "Text", **_PAGE
    ),
    Operation(
        "/incidents/{incident_id}/{kind}",
        "post",
        "order",
        "Acknowledge, resolve, trip or ask for a reset.",
        (303, 400, 401, 403, 404, 408, 409, 413, 415, 415, 503),
        "Text",
        "view",
        body="Form",
        body_media=(FORM,),
        **_PAGE,
        parameters=(path_parameter("incident_id", **_ID), path_parameter("kind", **_ID)),
    ),
)
HEALTH_OPERATIONS = (
    Operation("/healthz", "get", "healthz", "Whether the server answers.", (200,), "Health"),
    Operation("/readyz", "get", "readyz", "Whether every part does its work.", (200, 503), "Readiness"),
    Operation(
        "/metrics",
        "get",
        "metrics",
        "OpenMetrics.",
        (200, 401, 403, 429),
        "Text",
        media="application/openmetrics-text",
        **_VIEW,
    ),
)
CONTROL = (*FLAG_OPERATIONS, *LEASE_OPERATIONS, *SWITCH_OPERATIONS, *PAGE_OPERATIONS, *HEALTH_OPERATIONS)

_RECEIVED = (200, 400, 401, 403, 408, 413, 415, 429, 503)
_OTLP = (JSON, "application/x-protobuf")
RECEIVER = tuple(
    Operation(
        path,
        "post",
        name,
        summary,
        _RECEIVED,
        "Accepted",
        "send",
        open_on_loopback=True,
        error="RpcStatus",
        body="Content",
        body_media=media,
        in_protobuf="application/x-protobuf" in media,
    )
    for path, name, summary, media in (
        ("/v1/traces", "receive_traces", "OTLP ExportTraceServiceRequest.", _OTLP),
        ("/v1/logs", "receive_logs", "OTLP ExportLogsServiceRequest.", _OTLP),
        (
            "/v1/events",
            "receive_events",
            "Native events: an object, an array or NDJSON.",
            (JSON, "application/x-ndjson"),
        ),
    )
)
