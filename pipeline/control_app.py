"""The control HTTP server: flags, kill switch, health and metrics, in a thread and event loop of its own.

Apart from the pipeline, so that load there never delays the switch.
"""

import socket
import threading
from collections.abc import Callable

import msgspec
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline import metrics
from pipeline.errors import AuditfuseError, ConfigError
from pipeline.killswitch import http, ofrep
from pipeline.killswitch.auth import Authenticator, local_token
from pipeline.killswitch.health import fault_of
from pipeline.killswitch.server import ControlEndpoints, refusal
from pipeline.killswitch.switch import KillSwitch

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
BACKLOG = 2048

Readiness = Callable[[], dict[str, bool]]
"""What must hold before this process is ready, by name."""

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
FAILED = b'{"errorCode":"GENERAL","errorDetails":"the request failed inside auditfuse; its log says why"}'

log = structlog.get_logger()


def build_control_app(switch: KillSwitch, readiness: Readiness) -> ASGIApp:
    """The ASGI application. Flags go round the router: theirs is the hot path."""
    config = switch.config
    try:
        token = local_token(config.journal)
    except OSError as error:
        log.error("no operator token: the journal cannot be written", fault=fault_of(error))
        token = None
    authenticator = Authenticator(config.tokens, token, ofrep_open_on_loopback=config.ofrep_open_on_loopback)
    flags = ofrep.Ofrep(switch, authenticator)
    rest = _routed(ControlEndpoints(switch, authenticator), readiness)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == ofrep.PATH or path.startswith(ofrep.PATH + "/"):
            await flags(scope, receive, send)
        else:
            await rest(scope, receive, send)

    return _last_resort(app)


def _last_resort(inner: ASGIApp) -> ASGIApp:
    """Answer 500 without a word of the error, and log its type alone: its text may hold content."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def tracking_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await inner(scope, receive, tracking_send)
        except Exception as error:  # noqa: BLE001 (whatever it is, the server goes on)
            log.error("a control request failed", path=scope["path"], fault=fault_of(error))
            if not started:
                await http.respond(send, 500, FAILED)

    return app


def _routed(endpoints: ControlEndpoints, readiness: Readiness) -> Starlette:
    async def healthz(request: Request) -> Response:
        del request
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def readyz(request: Request) -> Response:
        del request
        parts = readiness()
        ready = all(parts.values())
        body = msgspec.json.encode({"ready": ready, "parts": parts})
        return Response(body, 200 if ready else 503, media_type="application/json")

    async def show_metrics(request: Request) -> Response:
        endpoints.allow(request, "view")
        return Response(metrics.exposition(), headers={"content-type": OPENMETRICS})

    async def answer_error(request: Request, error: Exception) -> Response:
        del request
        return refusal(error)

    return Starlette(
        routes=[
            *endpoints.routes(),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            Route("/metrics", show_metrics, methods=["GET"]),
        ],
        exception_handlers=dict.fromkeys((AuditfuseError, http.BodyError, HTTPException), answer_error),
    )


class RunningServer:
    """A server in its own thread. `port` is the real one where 0 was asked for."""

    def __init__(self, server: uvicorn.Server, thread: threading.Thread, host: str, port: int) -> None:
        self._server = server
        self._thread = thread
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        """The base URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def stop(self) -> None:
        """Answer what is under way, then stop; waits at most a few seconds."""
        self._server.should_exit = True
        self._thread.join(STOP_TIMEOUT_S)


def serve_in_thread(app: ASGIApp, host: str, port: int) -> RunningServer:
    """Serve `app` and return once it accepts connections. Raises ConfigError if it cannot listen there."""
    listener = _listen(host, port)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
            backlog=BACKLOG,
        )
    )
    thread = threading.Thread(target=server.run, args=([listener],), name="control-http", daemon=True)
    thread.start()
    ready = threading.Event()
    for _ in range(int(START_TIMEOUT_S / 0.01)):
        if server.started or not thread.is_alive():
            break
        ready.wait(0.01)
    if not server.started:
        raise ConfigError(f"the control server did not start on {host}:{port}; the log says why")
    return RunningServer(server, thread, host, listener.getsockname()[1])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}:{port} ({error.strerror}); is auditfuse running already? "
            "Set killswitch.port or killswitch.host"
        ) from None
    return listener
