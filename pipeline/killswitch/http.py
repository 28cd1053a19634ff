"""What the HTTP endpoints share: bounded bodies, who asks, answers. Plain ASGI."""

import asyncio
import ipaddress
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

MAX_BODY_BYTES = 65_536
BODY_TIMEOUT_S = 10.0
CHALLENGE = (b"www-authenticate", b"Bearer")

_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via")


class BodyError(Exception):
    """A request body that is not taken: too large, too slow, or cut off."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The request's body. Raises BodyError beyond the limits of size and time."""
    length = header(scope, b"content-length")
    if length is not None and (not length.isdigit() or int(length) > MAX_BODY_BYTES):
        raise BodyError(413, f"the body may have at most {MAX_BODY_BYTES} bytes")
    body = b""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise BodyError(400, "the body was cut off")
                body += message.get("body", b"")
                if len(body) > MAX_BODY_BYTES:
                    raise BodyError(413, f"the body may have at most {MAX_BODY_BYTES} bytes")
                if not message.get("more_body", False):
                    return body
    except TimeoutError:
        raise BodyError(408, f"the body did not arrive within {BODY_TIMEOUT_S:.0f} s") from None


def header(scope: Scope, name: bytes) -> bytes | None:
    """A request header's value; `name` in lower case."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return next((value for key, value in headers if key == name), None)


def address(scope: Scope) -> str | None:
    """The address that the connection comes from; not what a proxy claims, which anybody could."""
    client: tuple[str, int] | None = scope.get("client")
    return None if client is None else client[0]


def is_local(scope: Scope) -> bool:
    """Whether the request comes from this machine. What a proxy passes on does not."""
    client: tuple[str, int] | None = scope.get("client")
    if client is None or any(header(scope, name) is not None for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False


async def refuse(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    """Send a refusal in the shape of the control endpoints."""
    await respond(send, status, msgspec.json.encode({"error": text}), *headers)


async def respond(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Send a whole answer; JSON unless `headers` names another content type."""
    typed = any(name == b"content-type" for name, _ in headers)
    default: list[Any] = [] if typed or not body else [(b"content-type", b"application/json")]
    length = [(b"content-length", b"%d" % len(body))] if status != 204 else []
    await send({"type": "http.response.start", "status": status, "headers": [*default, *length, *headers]})
    await send({"type": "http.response.body", "body": body})
