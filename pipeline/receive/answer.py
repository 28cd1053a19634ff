"""Answers as OTLP/HTTP states them: in the request's encoding, errors as google.rpc.Status."""

from typing import Literal

import msgspec
from starlette.responses import Response

Encoding = Literal["json", "protobuf"]
MEDIA_TYPES: dict[Encoding, str] = {"json": "application/json", "protobuf": "application/x-protobuf"}

# google.rpc.Code by HTTP status.
_RPC_CODES = {400: 3, 401: 16, 403: 7, 408: 4, 413: 8, 415: 3, 429: 8, 503: 14}


class Refusal(Exception):
    """A request that is not accepted. The message goes to the sender and holds nothing of the body."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


def accepted(encoding: Encoding, report: dict[str, int] | None = None) -> Response:
    """200: everything was made durable. OTLP's response message is empty; native events get counts."""
    if encoding == "protobuf":
        return Response(b"", 200, media_type=MEDIA_TYPES["protobuf"])
    return Response(msgspec.json.encode(report or {}), 200, media_type=MEDIA_TYPES["json"])


def refused(refusal: Refusal, encoding: Encoding) -> Response:
    """The refusal as google.rpc.Status."""
    code = _RPC_CODES[refusal.status]
    if encoding == "protobuf":
        text = refusal.message.encode()
        # Status: field 1 code (varint), field 2 message (length-delimited).
        body = bytes([0x08, code, 0x12]) + _varint(len(text)) + text
    else:
        body = msgspec.json.encode({"code": code, "message": refusal.message})
    return Response(body, refusal.status, refusal.headers, media_type=MEDIA_TYPES[encoding])


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
