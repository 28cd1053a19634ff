"""A receiver on a real socket, with a producer in memory that can be told to fail or to hang."""

import asyncio
import hashlib
import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import httpx
import uvicorn
from support.decode import source

from pipeline.errors import TopicError
from pipeline.receive.app import create_receiver
from pipeline.receive.config import ReceiverConfig, TokenConfig

FORMATS = ("otlp_spans", "otlp_logs", "events")
SOURCES = [source(format_, name=format_, topic=format_, kind="http") for format_ in FORMATS]
TOKEN = "the-token-of-invoices"


class MemoryProducer:
    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.fails = False
        self.gate: asyncio.Event | None = None

    async def start(self) -> None: ...

    async def append(
        self, values: Sequence[bytes], *, partition: int | None = None, key: bytes | None = None
    ) -> list[tuple[int, int]]:
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise TopicError("the disk with secret-path is full")
        self.values.extend(values)
        return [(0, len(self.values) - 1)]

    async def stop(self) -> None: ...


def token(name: str = "invoices", secret: str = TOKEN, sources: Sequence[str] = FORMATS) -> TokenConfig:
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return TokenConfig(name=name, sha256=digest, sources=tuple(sources))


class Receiver:
    """The application, its producers by source name, and an HTTP client that calls it in memory."""

    def __init__(self, peer: str = "127.0.0.1", backlog_bytes: int = 0, **settings: object) -> None:
        config = ReceiverConfig.model_validate(settings or {"default_sources": FORMATS})
        self.producers = {format_: MemoryProducer() for format_ in FORMATS}
        self.app = create_receiver(
            config, SOURCES, lambda name: self.producers[name], lambda _: backlog_bytes
        )
        transport = httpx.ASGITransport(self.app, client=(peer, 40_000))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4318")

    def stored(self) -> list[bytes]:
        return [value for producer in self.producers.values() for value in producer.values]


@contextmanager
def serving(receiver: Receiver) -> Generator[str]:
    """The application on a free loopback port, in a thread; gives its base URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(receiver.app, log_level="warning", proxy_headers=False)
    server = uvicorn.Server(config)
    # The socket listens already: what connects before the server runs waits in its queue.
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()
