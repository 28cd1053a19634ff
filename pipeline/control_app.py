"""The control HTTP server: flags, kill switch, health and metrics, in a thread and event loop of its own.

Apart from the pipeline, so that load there never delays the switch.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.errors import ConfigError
from pipeline.health_app import Conditions, Readiness, answering_errors, health_routes
from pipeline.killswitch import http, lease_server, ofrep
from pipeline.killswitch.auth import Authenticator, local_token
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.drill_http import DrillEndpoints
from pipeline.killswitch.health import fault_of
from pipeline.killswitch.lease_server import LeaseServer
from pipeline.killswitch.peer_server import PeerEndpoint
from pipeline.killswitch.protocol import LOOP, bounded_protocol
from pipeline.killswitch.server import ControlEndpoints, allowed
from pipeline.killswitch.switch import KillSwitch
from pipeline.killswitch.tokens import TokenWatch

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
BACKLOG = 2048

FAILED = b'{"errorCode":"GENERAL","errorDetails":"the request failed inside auditfuse; its log says why"}'

log = structlog.get_logger()


def _none(endpoints: ControlEndpoints) -> Sequence[BaseRoute]:
    del endpoints
    return ()


class ControlApp:
    """The ASGI application. Flags and leases go round the router: theirs are the hot paths."""

    def __init__(
        self, rest: Starlette, ways: Mapping[str, ASGIApp], on_close: Sequence[Callable[[], None]]
    ) -> None:
        """`ways`: what goes round the router, by path."""
        self._on_close = on_close
        self._ways = tuple(ways.items())
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
    watch = TokenWatch(config.journal)
    authenticator = _authenticator(config, watch)
    for warning in config.warnings(has_tokens=authenticator.has_tokens):
        log.warning(f"kill switch: {warning}")
    endpoints = ControlEndpoints(switch, authenticator)
    rest = answering_errors(
        [
            *endpoints.routes(),
            *PeerEndpoint(endpoints).routes(),
            *DrillEndpoints(endpoints).routes(),
            *pages(endpoints),
            *health_routes(readiness, conditions, endpoints.allow),
        ]
    )
    flags, leases = ofrep.Ofrep(switch, authenticator), LeaseServer(switch, authenticator)
    return ControlApp(
        rest,
        {ofrep.PATH: flags, lease_server.PATH: leases},
        on_close=(leases.close, watch.stop),
    )


def build_health_app(config: KillSwitchConfig, readiness: Readiness, conditions: Conditions) -> ControlApp:
    """The application of a process that serves no kill switch: whether it works, for the same callers."""
    watch = TokenWatch(config.journal)
    authenticator = _authenticator(config, watch)

    def allow(request: Request, right: str) -> object:
        return allowed(authenticator, request, right)

    rest = answering_errors(health_routes(readiness, conditions, allow))
    return ControlApp(rest, {}, on_close=(watch.stop,))


def _authenticator(config: KillSwitchConfig, watch: TokenWatch) -> Authenticator:
    try:
        token = local_token(config.journal)
    except OSError as error:
        log.error("no operator token: the journal cannot be written", fault=fault_of(error))
        token = None
    return Authenticator(
        config.tokens,
        token,
        ofrep_open_on_loopback=config.ofrep_open_on_loopback,
        stored=lambda: watch.known,
    )


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
            loop=LOOP,
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
