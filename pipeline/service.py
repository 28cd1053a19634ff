"""The service: the app with its servers and signals. What `auditfuse run` is."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Generator

import structlog

from pipeline.app import App
from pipeline.bench.kept import tell_bound
from pipeline.clock import system_now_ms
from pipeline.config import Config
from pipeline.control_app import ControlApp, build_control_app, build_health_app, serve_in_thread
from pipeline.otlp_receiver import receiver
from pipeline.roles.role import ALL_ROLES, RoleName
from pipeline.web.mount import new_site

log = structlog.get_logger()


def serve(config: Config, roles: frozenset[RoleName] = ALL_ROLES, *, reshards: bool = False) -> None:
    """Run until SIGTERM or SIGINT, then drain."""
    app = App(config, config.sources, roles=roles, reshards=reshards)
    tell_bound(config, roles)
    with contextlib.ExitStack() as stack:
        # Ends last what begins first; the last checkpoint covers the switch's last command.
        if app.ingest is not None:
            stack.callback(app.ingest.maintenance.checkpoints.stop)
        for start, stop in _switch_threads(app):
            start()
            stack.callback(stop)
        app.watch_itself()
        server = serve_in_thread(
            _application(app), config.killswitch.host, config.killswitch.port, tls=config.killswitch
        )
        stack.callback(server.stop)
        log.info("kill switch is served" if app.control else "health is served", url=server.url)
        asyncio.run(_run(app))


def _switch_threads(app: App) -> Generator[tuple[Callable[[], None], Callable[[], None]]]:
    """How each thread of the kill switch is started and stopped, in order."""
    if app.has_switch:
        yield app.parts.switch.start, app.parts.switch.stop
    if app.control is None:
        return
    yield app.control.actuators.start, app.control.actuators.stop
    app.parts.reasons.load()
    topic = app.control.new_topic_publisher()
    if topic is not None:
        yield topic.start, topic.stop


def _application(app: App) -> ControlApp:
    if app.control is None:
        return build_health_app(app.config.killswitch, app.readiness, app.conditions)
    parts = app.parts
    site = new_site(app.config, parts.switch, parts.companion, parts.reasons, system_now_ms)
    return build_control_app(
        parts.switch,
        app.readiness,
        pages=lambda endpoints: site.routes(endpoints.authenticator),
        conditions=app.conditions,
    )


async def _run(app: App) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.stop)
    if app.ingest is not None:
        app.ingest.pool.calms = True
    async with receiver(app.parts) if app.ingest is not None else contextlib.nullcontext():
        await app.run()
    log.info("stopped; everything that was read is sealed")
