"""As much of HTTP/1.1 as the guard speaks: requests as bytes, and one response read as its bytes come. Pure.

Not `http.client`: its buffered reader is locked while it waits, which a fork would carry into the child, and
it bounds each read, not the whole answer.
"""

from collections.abc import Mapping

MAX_HEAD_BYTES = 65_536


class ResponseError(Exception):
    """What came is no response of HTTP/1.1, or too large; the text holds nothing of it."""


def request_bytes(method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """A whole request."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class ResponseReader:
    """Reads one response. `status` is 0 until the head is complete."""

    def __init__(self) -> None:
        self.status = 0
        self.is_done = False
        self.may_keep = False
        """Whether the connection may carry another request, once this response is done."""
        self._buffer = b""
        self._left: int | None = None
        """The bytes to come of the body or of the chunk; None: as many as come, until the end."""
        self._is_chunked = False
        self._in_trailers = False

    def feed(self, came: bytes) -> bytes:
        """The bytes of the body in what came; nothing came (b"") means the end of the connection."""
        self._buffer += came
        if self.status == 0:
            self._read_head()
        body = b""
        if self.status:
            body = self._read_chunks() if self._is_chunked else self._read_plain()
        if not came and not self.is_done:
            if self.status == 0 or self._is_chunked or self._left is not None:
                raise ResponseError("the connection ended before the answer did")
            self.is_done = True
        return body

    def _read_head(self) -> None:
        while self.status == 0:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if len(head) > MAX_HEAD_BYTES:
                raise ResponseError("the answer's head is too large")
            if not end:
                return
            self._buffer = rest
            status_line, *lines = head.decode("latin-1").split("\r\n")
            status = _status(status_line)
            if status >= 200:
                self.status = status
                self._take_headers(status_line, lines)

    def _take_headers(self, status_line: str, lines: list[str]) -> None:
        named = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip().lower() for name, _, value in named}
        self._is_chunked = headers.get("transfer-encoding") == "chunked"
        length = headers.get("content-length")
        if self.status in {204, 304} or self._is_chunked:
            self._left = 0
        elif length is not None:
            self._left = _number(length, 10)
        framed = self._is_chunked or self._left is not None
        self.may_keep = framed and status_line.startswith("HTTP/1.1") and headers.get("connection") != "close"
        if self.status in {204, 304}:
            self._is_chunked = False

    def _read_plain(self) -> bytes:
        if self._left is None:
            body, self._buffer = self._buffer, b""
            return body
        body, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
        self._left -= len(body)
        self.is_done = self._left == 0
        return body

    def _read_chunks(self) -> bytes:
        body = b""
        while not self.is_done:
            if self._left:
                if not self._buffer:
                    break
                body += self._read_part(self._left)
                continue
            line, end, rest = self._buffer.partition(b"\r\n")
            if len(line) > MAX_HEAD_BYTES:
                raise ResponseError("a chunk's head is too large")
            if not end:
                break
            self._buffer = rest
            self._take_chunk_line(line)
        return body

    def _read_part(self, left: int) -> bytes:
        """Some of a chunk, `left` counting the line's end behind it, which is cut off."""
        part, self._buffer = self._buffer[:left], self._buffer[left:]
        self._left = left - len(part)
        return part[: max(0, left - 2)]

    def _take_chunk_line(self, line: bytes) -> None:
        if self._in_trailers:
            self.is_done = not line
            return
        size = _number(line.partition(b";")[0].decode("latin-1").strip(), 16)
        self._in_trailers = size == 0
        self._left = size + 2 if size else 0


def _status(line: str) -> int:
    version, _, rest = line.partition(" ")
    code = rest[:3]
    if version not in {"HTTP/1.1", "HTTP/1.0"} or not (code.isascii() and code.isdigit() and len(code) == 3):
        raise ResponseError("the answer is no HTTP")
    return int(code)


def _number(text: str, base: int) -> int:
    if not text or len(text) > 12 or not all(c in "0123456789abcdef"[:base] for c in text.lower()):
        raise ResponseError("the answer's length is no number")
    return int(text, base)
