"""Reading a request's body: bounded in size after decompression, in memory and in time."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect, Request

from pipeline.receive.answer import Refusal

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_STEP_BYTES = 64 * 1024


class InFlight:
    """Bytes of bodies in memory, over all requests; what exceeds the limit is refused."""

    def __init__(self, limit_bytes: int, retry_after_s: int) -> None:
        self._limit = limit_bytes
        self._retry_after = {"Retry-After": str(retry_after_s)}
        self.held = 0

    @contextmanager
    def request(self) -> Generator["Held"]:
        """The account of one request, settled when it ends."""
        held = Held(self)
        try:
            yield held
        finally:
            self.held -= held.bytes

    def take(self, amount: int) -> None:
        """Raise Refusal (429) where the limit is reached."""
        if self.held + amount > self._limit:
            raise Refusal(429, "too many requests in flight", self._retry_after)
        self.held += amount


class Held:
    """What one request holds."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self.bytes = 0

    def take(self, amount: int) -> None:
        """Account for `amount` more bytes. Raises Refusal (429)."""
        self._in_flight.take(amount)
        self.bytes += amount


async def read_body(request: Request, held: Held, max_bytes: int, timeout_s: float) -> bytes:
    """The decompressed body. Raises Refusal: 400, 408, 413, 415, 429."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity" and encoding not in _WINDOW_BITS:
        raise Refusal(415, "Content-Encoding must be gzip, deflate or identity")
    _check_declared_length(request, max_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            chunks = _raw_chunks(request, max_bytes)
            if encoding == "identity":
                return await _collect(chunks, held)
            return await _collect(_inflate(chunks, _WINDOW_BITS[encoding], max_bytes), held)
    except TimeoutError:
        raise Refusal(408, "the body took too long to arrive") from None
    except ClientDisconnect:
        raise Refusal(400, "the connection was closed before the body was whole") from None
    except zlib.error:
        raise Refusal(400, f"the body is not valid {encoding}") from None


def _check_declared_length(request: Request, max_bytes: int) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise _too_large(max_bytes)


async def _raw_chunks(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > max_bytes:
            raise _too_large(max_bytes)
        yield chunk


async def _inflate(chunks: AsyncIterator[bytes], window_bits: int, max_bytes: int) -> AsyncIterator[bytes]:
    """Decompressed chunks, never more than one step ahead of the limit."""
    total = 0
    inflater = zlib.decompressobj(window_bits)
    async for chunk in chunks:
        pending = chunk
        while pending:
            if inflater.eof:  # gzip files may follow one another
                inflater = zlib.decompressobj(window_bits)
            piece = inflater.decompress(pending, _STEP_BYTES)
            total += len(piece)
            if total > max_bytes:
                raise _too_large(max_bytes)
            yield piece
            pending = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    tail = inflater.flush()
    if not inflater.eof:
        raise zlib.error("truncated")
    yield tail


async def _collect(chunks: AsyncIterator[bytes], held: Held) -> bytes:
    parts: list[bytes] = []
    async for chunk in chunks:
        held.take(len(chunk))
        parts.append(chunk)
    return b"".join(parts)


def _too_large(max_bytes: int) -> Refusal:
    return Refusal(413, f"the body is larger than {max_bytes} bytes")
