"""The service: the app with its servers and signals. What `auditfuse run` is."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import structlog
import uvicorn
from starlette.applications import Starlette

from pipeline.app import App
from pipeline.clock import system_now_ms
from pipeline.config import Config
from pipeline.control_app import build_control_app, serve_in_thread
from pipeline.own_parts import rounds_of
from pipeline.receive.app import create_receiver
from pipeline.topics.base import Producer
from pipeline.topics.kafka import KafkaProducer
from pipeline.topics.local import LocalProducer
from pipeline.web.mount import new_site

BACKLOG_AGE_S = 1.0

log = structlog.get_logger()


def serve(config: Config) -> None:
    """Run until SIGTERM or SIGINT, then drain."""
    app = App(config, config.sources)
    app.switch.start()
    app.actuators.start()
    app.reasons.load()
    app.deliverer.also(*rounds_of(app, system_now_ms))
    site = new_site(config, app.switch, app.companion, app.reasons, system_now_ms)
    control = serve_in_thread(
        build_control_app(
            app.switch,
            app.readiness,
            pages=lambda endpoints: site.routes(endpoints.authenticator),
            conditions=app.conditions,
        ),
        config.killswitch.host,
        config.killswitch.port,
        tls=config.killswitch,
    )
    log.info("kill switch is served", url=control.url)
    topic = app.new_topic_publisher()
    if topic is not None:
        topic.start()
    try:
        asyncio.run(_run(app))
    finally:
        control.stop()
        if topic is not None:
            topic.stop()
        app.actuators.stop()
        app.switch.stop()
        app.checkpoints.stop()


async def _run(app: App) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.stop)
    async with _receiver(app):
        await app.run()
    log.info("stopped; everything that was read is sealed")


@contextlib.asynccontextmanager
async def _receiver(app: App) -> AsyncGenerator[None]:
    """The OTLP/HTTP receiver, where a token or a default source is configured for it."""
    config = app.config.http
    names = {name for token in config.tokens for name in token.sources} | set(config.default_sources)
    if not names:
        yield
        return
    producers = {source.name: _producer(app, source.name) for source in app.sources if source.name in names}
    server = _Server(
        uvicorn.Config(
            _application(app, producers),
            host=config.host,
            port=config.port,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
    )
    for producer in producers.values():
        await producer.start()
    serving = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.should_exit = True
        await serving
        for producer in producers.values():
            await producer.stop()


def _application(app: App, producers: dict[str, Producer]) -> Starlette:
    local = {source.name: source.topic for source in app.sources if source.kind != "kafka"}
    backlog = _Backlog({name: app.config.topics.path / topic for name, topic in local.items()})
    return create_receiver(app.config.http, app.sources, producers.__getitem__, backlog)


def _producer(app: App, name: str) -> Producer:
    source = next(source for source in app.sources if source.name == name)
    if source.kind == "kafka":
        return KafkaProducer(app.config.kafka, source.topic)
    return LocalProducer(app.config.topics, source.topic, app.keys)


class _Backlog:
    """Bytes of a local topic's files: what waits for the worker, and at most one file more a partition."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders
        self._measured: dict[str, tuple[float, int]] = {}

    def __call__(self, source: str) -> int:
        """The size as of the last second."""
        folder = self._folders.get(source)
        if folder is None:
            return 0
        at, size = self._measured.get(source, (0.0, 0))
        if time.monotonic() - at > BACKLOG_AGE_S:
            size = sum(_size(path) for path in folder.glob("*/*"))
            self._measured[source] = (time.monotonic(), size)
        return size


def _size(path: Path) -> int:
    """0 where it was deleted meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class _Server(uvicorn.Server):
    """Leaves signals to the service, which drains before it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield
