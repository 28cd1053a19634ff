"""Who asks: bearer tokens with roles, and the token file of this machine's operator."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import structlog

from pipeline import durable, metrics
from pipeline.clock import NowMs, system_now_ms
from pipeline.killswitch.attempts import FailedAttempts, network_of
from pipeline.killswitch.config import Role, Token
from pipeline.killswitch.tokens import StoredToken, key_of, same_name

TOKEN_FILE = "operator.token"  # noqa: S105 (a file name)
MAX_TOKEN_BYTES = 512

_RIGHTS: Mapping[Role, frozenset[str]] = {
    "agent": frozenset({"flags"}),
    "viewer": frozenset({"flags", "view"}),
    "responder": frozenset({"flags", "view", "trip", "request"}),
    "approver": frozenset({"flags", "view", "trip", "request", "approve"}),
    "peer": frozenset({"flags", "view", "peer"}),
}
_PEOPLE: frozenset[Role] = frozenset({"viewer", "responder", "approver"})


log = structlog.get_logger()


class Caller(NamedTuple):
    """Who asks. `name` is None where the caller's own word is taken for it."""

    name: str | None
    rights: frozenset[str]
    agent: str | None = None
    """The one agent that an agent's token speaks for; None: any."""

    def speaks_for(self, agent: str) -> bool:
        """Whether it may be asked in this agent's name."""
        return self.agent is None or self.agent.strip().casefold() == agent.strip().casefold()


NOBODY = Caller(None, frozenset())


class Authenticator:
    """Knows callers by their tokens. `local_token` is the machine's own, good from loopback only.

    Names that come with the local token are asserted, not proven: once people have tokens, which prove
    them, the local token trips and asks for resets but approves none. `stored` gives the tokens of the
    journal by `tokens.key_of` their hashes.
    """

    def __init__(
        self,
        tokens: Iterable[Token],
        local_token: str | None,
        *,
        ofrep_open_on_loopback: bool,
        stored: Callable[[], Mapping[bytes, StoredToken]] = dict,
        now_ms: NowMs = system_now_ms,
    ) -> None:
        self._configured = {key_of(bytes.fromhex(token.sha256)): token for token in tokens}
        self._stored = stored
        self._now_ms = now_ms
        self._local = _digest(local_token.encode()) if local_token else None
        self._anonymous = frozenset({"flags", "view"} if ofrep_open_on_loopback else {"view"})
        self.attempts = FailedAttempts()

    def caller(self, authorization: bytes | None, *, local: bool) -> Caller | None:
        """The caller behind an Authorization header; None where a token was given and is not known.

        Hashes are compared in constant time.
        """
        if authorization is None:
            return Caller(None, self._anonymous) if local else NOBODY
        scheme, _, secret = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        return self.known(_digest(secret.strip()[:MAX_TOKEN_BYTES]), local=local)

    def known(self, digest: bytes, *, local: bool) -> Caller | None:
        """The caller whose token has this SHA-256 and is good now; for a session that began with it."""
        if self._local is not None and hmac.compare_digest(self._local, digest) and local:
            return Caller(None, _RIGHTS["responder" if self.has_people else "approver"])
        token = self._configured.get(key_of(digest)) or self._stored().get(key_of(digest))
        if token is None or not hmac.compare_digest(bytes.fromhex(token.sha256), digest):
            return None
        return _caller(token) if self._is_good(token) else None

    def named(self, name: str) -> Caller | None:
        """The caller whose good token has this name; for a session that began with it."""
        for token in self._good():
            if same_name(token.name, name):
                return _caller(token)
        return None

    @property
    def has_people(self) -> bool:
        """Whether any token proves who a person is."""
        return any(token.role in _PEOPLE for token in self._good())

    @property
    def has_tokens(self) -> bool:
        """Whether anybody but this machine's operator has a token."""
        return any(True for _ in self._good())

    def record_failure(self, address: str | None) -> float | None:
        """Count and log a token that is not known. Returns how long the answer waits (flags and leases are
        answered at once all the same); None where it is refused unread."""
        network, now_s = network_of(address), time.monotonic()
        metrics.failed_attempts.inc()
        failed = self.attempts.failed(network, now_s, self._now_ms())
        if failed.bit_count() == 1:  # the 1st, 2nd, 4th, 8th …: a flood must not fill the log
            log.warning("a token that is not known was given", network=network, failed=failed)
        return self.attempts.delay_s(network, now_s)

    def _good(self) -> Iterator[Token | StoredToken]:
        for token in (*self._configured.values(), *self._stored().values()):
            if self._is_good(token):
                yield token

    def _is_good(self, token: Token | StoredToken) -> bool:
        return isinstance(token, Token) or token.is_good(self._now_ms())


def local_token(directory: Path) -> str:
    """Read, or at the first run make, the operator token of this machine (mode 0600). Raises OSError."""
    path = directory / TOKEN_FILE
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        durable.make_directory(directory, 0o700)
        durable.create_exclusive(path, secrets.token_urlsafe(32).encode() + b"\n", directory, 0o600)
        return path.read_text().strip()


def _caller(token: Token | StoredToken) -> Caller:
    agent = token.name if token.role == "agent" else None
    return Caller(token.name, _RIGHTS[token.role], agent)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
