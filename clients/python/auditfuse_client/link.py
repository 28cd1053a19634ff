"""Sockets to the server: kept open, deadlines for whole answers, no redirects, no proxies."""

import contextlib
import ipaddress
import os
import socket
import ssl
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from auditfuse_client.errors import CallError, LostError
from auditfuse_client.http1 import ResponseError, ResponseReader, request_bytes
from auditfuse_client.lease import Clock

MAX_ANSWER_BYTES = 4 << 20
RECEIVE_BYTES = 65_536
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Server(NamedTuple):
    """Where the server is and how it is spoken to."""

    url: SplitResult
    token: str | None
    tls: ssl.SSLContext | None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.url.hostname or "", self.url.port or _DEFAULT_PORTS[self.url.scheme]

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The bytes of a request; `path` lies below the URL's own."""
        headers = {"host": self.url.netloc, "user-agent": "auditfuse-client"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        return request_bytes(method, self.url.path.rstrip("/") + path, headers, body)


def server_at(
    url: str,
    *,
    token: str | None,
    ca: str | os.PathLike[str] | None,
    tls: ssl.SSLContext | None,
    plain_http: bool,
) -> Server:
    """Check the options. Raises ValueError for what cannot work or would show the token to the network."""
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"the URL must look like https://host:8420, not {url!r}")
    if parts.username is not None or not (parts.path.isascii() and parts.netloc.isascii()):
        raise ValueError("the URL must be plain ASCII and hold no user name: give the token as token=")
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise ValueError("the token holds characters that no token has (the end of a line?)")
    if parts.scheme == "http" and token and not plain_http and not _is_loopback(parts.hostname):
        raise ValueError("the token would cross the network in the clear: use https, or plain_http=True")
    if parts.scheme == "https" and tls is None:
        tls = ssl.create_default_context(cafile=ca)
    return Server(parts, token or None, tls if parts.scheme == "https" else None)


class Link:
    """One connection at a time, opened when it is needed. For one thread; `break_off` may come from any."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._socket: socket.socket | None = None

    @property
    def is_kept(self) -> bool:
        """Whether there is a connection that has carried a request before."""
        return self._socket is not None

    def call(self, method: str, path: str, body: bytes | None, timeout_s: float) -> tuple[int, bytes]:
        """One request and its whole answer within `timeout_s`: status and body. Raises CallError."""
        deadline_s = self._clock() + timeout_s
        reader, answer = ResponseReader(), bytearray()
        try:
            self._send(self._server.request(method, path, body), deadline_s)
            while not reader.is_done:
                answer += reader.feed(self._receive(deadline_s))
                if len(answer) > MAX_ANSWER_BYTES:
                    raise ResponseError(f"the answer has more than {MAX_ANSWER_BYTES >> 20} MiB")
        except (OSError, ResponseError) as error:
            self.close()
            raise _call_error(error, timeout_s) from None
        if not reader.may_keep:
            self.close()
        return reader.status, bytes(answer)

    def open_stream(self, path: str, timeout_s: float) -> "Incoming":
        """Ask for a stream. Raises CallError, also where the answer is another than 200."""
        deadline_s = self._clock() + timeout_s
        try:
            self._send(self._server.request("GET", path), deadline_s)
            incoming = Incoming(self)
            while not incoming.reader.status:
                incoming.take(self._receive(deadline_s))
        except (OSError, ResponseError) as error:
            self.close()
            raise _call_error(error, timeout_s) from None
        if incoming.reader.status != 200:
            self.close()
            raise CallError(refused(incoming.reader.status))
        return incoming

    def receive(self, timeout_s: float) -> bytes:
        """What came next; b"" at the end. Raises CallError."""
        try:
            return self._receive(self._clock() + timeout_s)
        except OSError as error:
            self.close()
            raise _call_error(error, timeout_s) from None

    def break_off(self) -> None:
        """Make the call that is waiting fail now."""
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        connection, self._socket = self._socket, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's connection without a word on it."""
        connection, self._socket = self._socket, None
        if connection is not None:
            with contextlib.suppress(OSError):
                os.close(connection.detach())

    def _send(self, request: bytes, deadline_s: float) -> None:
        if self._socket is None:
            self._socket = self._connect(deadline_s)
        self._socket.settimeout(self._left_s(deadline_s))
        self._socket.sendall(request)

    def _connect(self, deadline_s: float) -> socket.socket:
        connection = socket.create_connection(self._server.address, self._left_s(deadline_s))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._server.tls is None:
            return connection
        try:
            connection.settimeout(self._left_s(deadline_s))
            return self._server.tls.wrap_socket(connection, server_hostname=self._server.address[0])
        except OSError:
            connection.close()
            raise

    def _receive(self, deadline_s: float) -> bytes:
        if self._socket is None:
            raise ConnectionResetError
        self._socket.settimeout(self._left_s(deadline_s))
        return self._socket.recv(RECEIVE_BYTES)

    def _left_s(self, deadline_s: float) -> float:
        left_s = deadline_s - self._clock()
        if left_s <= 0:
            raise TimeoutError
        return left_s


class Incoming:
    """A stream's lines as they come."""

    def __init__(self, link: Link) -> None:
        self.reader = ResponseReader()
        self._link = link
        self._rest = b""

    def take(self, came: bytes) -> None:
        """Feed what came. Raises ResponseError."""
        self._rest += self.reader.feed(came)

    def lines(self, silence_s: float) -> list[bytes]:
        """The next whole lines, waited for. Raises CallError after silence, at the end, or for nonsense."""
        while b"\n" not in self._rest:
            if len(self._rest) > MAX_ANSWER_BYTES:
                raise CallError("a line of the stream is too large")
            if self.reader.is_done:
                raise CallError("the stream ended")
            try:
                self.take(self._link.receive(silence_s))
            except ResponseError as error:
                raise CallError(str(error)) from None
        *lines, self._rest = self._rest.split(b"\n")
        return lines


def refused(status: int) -> str:
    """The words for an answer that is not the one hoped for."""
    if status in {401, 403}:
        return f"the server answered {status}: it does not take this token for this agent"
    return f"the server answered {status}"


def _call_error(error: Exception, timeout_s: float) -> CallError:
    if isinstance(error, TimeoutError):
        return CallError(f"no answer within {timeout_s:g} s")
    if isinstance(error, ssl.SSLCertVerificationError):
        return CallError(f"the server's certificate is not taken: {error.verify_message}")
    if isinstance(error, ConnectionRefusedError):
        return CallError("nothing listens there (connection refused)")
    if isinstance(error, ConnectionError):
        return LostError("the connection was lost")
    if isinstance(error, OSError):
        return CallError(error.strerror or type(error).__name__)
    return LostError(str(error))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
