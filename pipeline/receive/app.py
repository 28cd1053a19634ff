"""The receiver as an ASGI application: admit, read, check, append, and only then say 200."""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline import metrics
from pipeline.decode.sources import Format, SourceConfig
from pipeline.errors import TopicError
from pipeline.receive.admission import Admission
from pipeline.receive.answer import Encoding, Refusal, accepted, refused
from pipeline.receive.body import Held, InFlight, read_body
from pipeline.receive.check import count_items
from pipeline.receive.config import ReceiverConfig
from pipeline.topics.base import Producer

ProducerFor = Callable[[str], Producer]
"""Source name → the started producer of its topic."""
BacklogBytes = Callable[[str], int]
"""Source name → bytes in its topic that wait for the worker."""

PATHS: dict[str, Format] = {"/v1/traces": "otlp_spans", "/v1/logs": "otlp_logs", "/v1/events": "events"}
_JSON_TYPES = {"application/json", "application/x-ndjson", "application/jsonl"}
_PROTOBUF_TYPES = {"application/x-protobuf", "application/protobuf"}
_INLINE_BYTES = 128 * 1024
"""Larger bodies are checked in a thread, so that the event loop answers others meanwhile."""

_log = structlog.get_logger()


def create_receiver(
    config: ReceiverConfig,
    sources: Sequence[SourceConfig],
    producer_for: ProducerFor,
    backlog_bytes: BacklogBytes | None = None,
) -> Starlette:
    """The application. Raises ConfigError where tokens and sources do not fit together."""
    receiver = _Receiver(config, sources, producer_for, backlog_bytes)
    return Starlette(routes=receiver.routes())


class _Receiver:
    def __init__(
        self,
        config: ReceiverConfig,
        sources: Sequence[SourceConfig],
        producer_for: ProducerFor,
        backlog_bytes: BacklogBytes | None,
    ) -> None:
        self._config = config
        self._admission = Admission(config, sources)
        self._producer_for = producer_for
        self._backlog_bytes = backlog_bytes
        self._in_flight = InFlight(config.max_in_flight_bytes, config.retry_after_s)
        self._retry_after = {"Retry-After": str(config.retry_after_s)}

    def routes(self) -> list[Route]:
        return [Route(path, self._endpoint(path, wanted), methods=["POST"]) for path, wanted in PATHS.items()]

    def _endpoint(self, path: str, wanted: Format) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            encoding = _encoding(request, wanted)
            try:
                with self._in_flight.request() as held:
                    report = await self._accept(request, wanted, encoding, held)
                metrics.http_accepted.labels(path).inc()
                response = accepted(encoding or "json", report if wanted == "events" else None)
            except Refusal as refusal:
                response = refused(refusal, encoding or "json")
            metrics.http_requests.labels(path, str(response.status_code)).inc()
            return response

        return endpoint

    async def _accept(
        self, request: Request, wanted: Format, encoding: Encoding | None, held: Held
    ) -> dict[str, int]:
        source = self._admission.source_of(request, wanted)
        if encoding is None:
            expected = (
                "application/json" if wanted == "events" else "application/x-protobuf or application/json"
            )
            raise Refusal(415, f"Content-Type must be {expected}")
        if source.encoding not in ("auto", encoding):
            raise Refusal(415, f"this source takes {source.encoding} only")
        if self._backlog_bytes and self._backlog_bytes(source.name) > self._config.max_backlog_bytes:
            raise Refusal(429, "the backlog is full", self._retry_after)
        limit = min(self._config.max_body_bytes, source.max_message_bytes)
        body = await read_body(request, held, limit, self._config.read_timeout_s)
        if len(body) > _INLINE_BYTES:
            items, dead = await asyncio.to_thread(count_items, body, source, encoding)
        else:
            items, dead = count_items(body, source, encoding)
        if items:
            await self._append(source, body)
        return {"accepted": items - dead, "dead_letters": dead}

    async def _append(self, source: SourceConfig, body: bytes) -> None:
        try:
            async with asyncio.timeout(self._config.append_timeout_s):
                await self._producer_for(source.name).append([body])
        except (TopicError, OSError, TimeoutError) as error:
            # It may have been persisted all the same; the sender's retry is then a repeat, counted once.
            _log.warning("http_append_failed", source=source.name, error=type(error).__name__)
            raise Refusal(503, "the topic cannot be appended to now", self._retry_after) from None


def _encoding(request: Request, wanted: Format) -> Encoding | None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in _JSON_TYPES:
        return "json"
    return "protobuf" if media_type in _PROTOBUF_TYPES and wanted != "events" else None
