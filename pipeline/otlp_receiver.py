"""Runs the OTLP/HTTP receiver of a process that ingests."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from pipeline.receive.app import create_receiver
from pipeline.roles.parts import Parts
from pipeline.topics.base import Producer
from pipeline.topics.kafka_producer import KafkaProducer
from pipeline.topics.local import LocalProducer

BACKLOG_AGE_S = 1.0


@contextlib.asynccontextmanager
async def receiver(parts: Parts) -> AsyncGenerator[None]:
    """The receiver, where a token or a default source is configured for it."""
    config = parts.config.http
    names = {name for token in config.tokens for name in token.sources} | set(config.default_sources)
    if not names:
        yield
        return
    producers = {
        source.name: _producer(parts, source.name) for source in parts.sources if source.name in names
    }
    server = _Server(
        uvicorn.Config(
            _application(parts, producers),
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


def _application(parts: Parts, producers: dict[str, Producer]) -> Starlette:
    local = {source.name: source.topic for source in parts.sources if source.kind != "kafka"}
    backlog = _Backlog({name: parts.config.topics.path / topic for name, topic in local.items()})
    return create_receiver(parts.config.http, parts.sources, producers.__getitem__, backlog)


def _producer(parts: Parts, name: str) -> Producer:
    source = next(source for source in parts.sources if source.name == name)
    if source.kind == "kafka":
        return KafkaProducer(parts.config.kafka, source.topic)
    return LocalProducer(parts.config.topics, source.topic, parts.keys)


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
