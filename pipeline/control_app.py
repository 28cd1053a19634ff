"""The control HTTP server: flags, kill switch, health and metrics, in a thread and event loop of its own.

Apart from the pipeline, so that load there never delays the switch.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline import metrics
from pipeline.errors import AuditfuseError, ConfigError
from pipeline.killswitch import http, lease_server, ofrep
from pipeline.killswitch.auth import Authenticator, local_token
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.drill_http import DrillEndpoints
from pipeline.killswitch.health import fault_of
from pipeline.killswitch.lease_server import LeaseServer
from pipeline.killswitch.peer_server import PeerEndpoint
from pipeline.killswitch.protocol import bounded_protocol
from pipeline.killswitch.server import ControlEndpoints, DeniedError, refusal
from pipeline.killswitch.switch import KillSwitch
from pipeline.killswitch.tokens import TokenWatch

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
BACKLOG = 2048

Readiness = Callable[[], dict[str, bool]]
"""What must hold before this process is ready, by name."""

Conditions = Callable[[], dict[str, str]]
"""What does not work although the rest goes on, by name, with the reason."""

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
FAILED = b'{"errorCode":"GENERAL","errorDetails":"the request failed inside auditfuse; its log says why"}'

log = structlog.get_logger()


def _none(endpoints: ControlEndpoints) -> Sequence[BaseRoute]:
    del endpoints
    return ()


class ControlApp:
    """The ASGI application. Flags and leases go round the router: theirs are the hot paths."""

    def __init__(
        self, flags: ofrep.Ofrep, leases: LeaseServer, rest: Starlette, on_close: Sequence[Callable[[], None]]
    ) -> None:
        self._on_close = on_close
        self._ways = ((ofrep.PATH, flags), (lease_server.PATH, leases))
        self.rest = rest
        self._app = _last_resort(self._route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        await self._app(scope, receive, send)

    def close(self) -> None:
        """End what lasts, so that the server can stop. From any thread."""
        for close in self._on_close:
            close()

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        for way, app in self._ways:
            if path == way or path.startswith(way + "/"):
                return await app(scope, receive, send)
        return await self.rest(scope, receive, send)


def build_control_app(
    switch: KillSwitch,
    readiness: Readiness,
    *,
    pages: Callable[[ControlEndpoints], Sequence[BaseRoute]] = _none,
    conditions: Conditions = dict,
) -> ControlApp:
    """The application of one switch; `pages` makes further routes, of the same router and callers.

    `readiness` decides what `/readyz` answers, `conditions` are told there without deciding it.
    """
    config = switch.config
    try:
        token = local_token(config.journal)
    except OSError as error:
        log.error("no operator token: the journal cannot be written", fault=fault_of(error))
        token = None
    watch = TokenWatch(config.journal)
    authenticator = Authenticator(
        config.tokens,
        token,
        ofrep_open_on_loopback=config.ofrep_open_on_loopback,
        stored=lambda: watch.known,
    )
    for warning in config.warnings(has_tokens=authenticator.has_tokens):
        log.warning(f"kill switch: {warning}")
    endpoints = ControlEndpoints(switch, authenticator)
    rest = _routed(endpoints, readiness, conditions, pages(endpoints))
    flags, leases = ofrep.Ofrep(switch, authenticator), LeaseServer(switch, authenticator)
    return ControlApp(flags, leases, rest, on_close=(leases.close, watch.stop))


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


def _routed(
    endpoints: ControlEndpoints, readiness: Readiness, conditions: Conditions, pages: Sequence[BaseRoute]
) -> Starlette:
    async def healthz(request: Request) -> Response:
        del request
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def readyz(request: Request) -> Response:
        del request
        parts = readiness()
        ready = all(parts.values())
        body = msgspec.json.encode({"ready": ready, "parts": parts, "conditions": conditions()})
        return Response(body, 200 if ready else 503, media_type="application/json")

    async def show_metrics(request: Request) -> Response:
        endpoints.allow(request, "view")
        return Response(metrics.exposition(), headers={"content-type": OPENMETRICS})

    async def answer_error(request: Request, error: Exception) -> Response:
        del request
        if isinstance(error, DeniedError):
            with contextlib.suppress(asyncio.CancelledError):  # a server that stops answers at once
                await asyncio.sleep(error.delay_s)
        return refusal(error)

    return Starlette(
        routes=[
            *endpoints.routes(),
            *PeerEndpoint(endpoints).routes(),
            *DrillEndpoints(endpoints).routes(),
            *pages,
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            Route("/metrics", show_metrics, methods=["GET"]),
        ],
        exception_handlers=dict.fromkeys((AuditfuseError, http.BodyError, HTTPException), answer_error),
    )


class RunningServer:
    """A server in its own thread. `port` is the real one where 0 was asked for."""

    def __init__(
        self, app: ASGIApp, server: uvicorn.Server, thread: threading.Thread, host: str, port: int
    ) -> None:
        self._app = app
        self._server = server
        self._thread = thread
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        """The base URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._server.config.is_ssl else 'http'}://{host}:{self.port}"

    def stop(self) -> None:
        """Answer what is under way, then stop; waits at most a few seconds."""
        self._server.should_exit = True
        if isinstance(self._app, ControlApp):
            self._app.close()
        self._thread.join(STOP_TIMEOUT_S)


def _tls(config: KillSwitchConfig | None) -> dict[str, Any]:
    """uvicorn's settings for TLS."""
    if config is None or config.tls_cert is None:
        return {}
    settings: dict[str, Any] = {"ssl_certfile": config.tls_cert, "ssl_keyfile": config.tls_key}
    if config.tls_client_ca is not None:
        settings |= {"ssl_ca_certs": str(config.tls_client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return settings


def serve_in_thread(app: ASGIApp, host: str, port: int, tls: KillSwitchConfig | None = None) -> RunningServer:
    """Serve `app`, with the TLS of `tls`, and return once it accepts connections.

    Raises ConfigError if it cannot listen there or the certificate cannot be used.
    """
    listener = _listen(host, port)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http=bounded_protocol(),
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
            **_tls(tls),
        )
    )
    try:
        server.config.load()
    except (OSError, ssl.SSLError) as error:
        listener.close()
        raise ConfigError(
            f"the certificate {tls and tls.tls_cert} or its key cannot be used ({fault_of(error)})"
        ) from None
    thread = threading.Thread(target=server.run, args=([listener],), name="control-http", daemon=True)
    thread.start()
    ready = threading.Event()
    for _ in range(int(START_TIMEOUT_S / 0.01)):
        if server.started or not thread.is_alive():
            break
        ready.wait(0.01)
    if not server.started:
        raise ConfigError(f"the control server did not start on {host}:{port}; the log says why")
    return RunningServer(app, server, thread, host, listener.getsockname()[1])


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
