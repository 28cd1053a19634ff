"""The stored tokens: `<journal>/tokens.json`, mode 0600. Only hashes are kept; a token is shown once.

The command line writes the file, a running server reads it again when it changes.
"""

import hashlib
import re
import secrets
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import structlog

from pipeline import durable
from pipeline.errors import ConfigError
from pipeline.file_lock import file_lock
from pipeline.killswitch.config import Role
from pipeline.killswitch.health import Loop, fault_of

TOKENS_FILE = "tokens.json"
LOCK_FILE = "tokens.lock"
PREFIX = "aft_"
SECRET_BYTES = 32
MAX_NAME_CHARS = 200
MAX_TOKENS = 10_000
LOOK_S = 0.5
"""How often a server looks whether the file has changed: a revocation counts within a second."""
STOP_S = 1.0
_DAY_MS = 86_400_000
_LOCK_WAIT_S = 5.0

log = structlog.get_logger()


class StoredToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One token. Times are ms since 1970."""

    name: str
    role: Role
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    created_ms: int
    by: str
    expires_ms: int | None = None
    revoked_ms: int | None = None
    revoked_by: str | None = None

    def is_good(self, now_ms: int) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tokens: list[StoredToken]


class Created(NamedTuple):
    """A new token and its secret, which is stored nowhere."""

    token: StoredToken
    secret: str


class TokenFile:
    """Reads and changes the tokens of one journal directory."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self.path = journal / TOKENS_FILE

    def read(self) -> list[StoredToken]:
        """All tokens, the oldest first. Raises OSError, and ConfigError where the file is garbled."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        try:
            return msgspec.json.decode(content, type=_File).tokens
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise ConfigError(f"{self.path} is garbled; take it away and create the tokens anew") from None

    def create(self, name: str, role: Role, *, by: str, now_ms: int, days: float | None = None) -> Created:
        """Make a token. Raises ConfigError where a good one has this name."""
        name = name.strip()
        if not 0 < len(name) <= MAX_NAME_CHARS or re.search(r"[\x00-\x1f\x7f]", name):
            raise ConfigError(f"a token's name has 1 to {MAX_NAME_CHARS} characters")
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        token = StoredToken(
            name=name,
            role=role,
            sha256=hashlib.sha256(secret.encode()).hexdigest(),
            created_ms=now_ms,
            by=by,
            expires_ms=None if days is None else now_ms + round(days * _DAY_MS),
        )
        with self._changing() as tokens:
            if any(same_name(one.name, name) and one.is_good(now_ms) for one in tokens):
                raise ConfigError(f"there is a token of {name!r} already; revoke it first")
            tokens.append(token)
            _forget_oldest(tokens, now_ms)
        return Created(token, secret)

    def revoke(self, name: str, *, by: str, now_ms: int) -> StoredToken:
        """Revoke the token of this name. Raises ConfigError where there is no good one."""
        with self._changing() as tokens:
            for number, token in enumerate(tokens):
                if same_name(token.name, name) and token.is_good(now_ms):
                    tokens[number] = msgspec.structs.replace(token, revoked_ms=now_ms, revoked_by=by)
                    return tokens[number]
        raise ConfigError(f"no token in use has the name {name!r} (auditfuse token list shows them)")

    @contextmanager
    def _changing(self) -> Generator[list[StoredToken]]:
        """The tokens, to be changed; written at the end, one process after the other."""
        durable.make_directory(self._journal, 0o700)
        with file_lock(self._journal / LOCK_FILE, wait_s=_LOCK_WAIT_S) as taken:
            if not taken:
                raise ConfigError(f"another process has changed {self.path} for {_LOCK_WAIT_S:.0f} s")
            before = self.read()
            tokens = list(before)
            yield tokens
            if tokens != before:
                content = msgspec.json.format(msgspec.json.encode(_File(tokens=tokens)), indent=1)
                durable.replace_atomically(self.path, content, 0o600)


class TokenWatch:
    """The stored tokens as a server knows them: read from a thread, so that a journal that hangs holds up
    nothing. What cannot be read leaves the tokens as they were, and says so in the log."""

    def __init__(self, journal: Path) -> None:
        self._file = TokenFile(journal)
        self._seen: tuple[int, int, int] | None = None
        self._fault: str | None = None
        self.known: Mapping[bytes, StoredToken] = {}
        """By the key of their hash: every token that was not revoked when last looked at."""
        self._loop = Loop("killswitch-tokens", self._look)
        self._look()
        self._loop.start()

    def stop(self) -> None:
        """Stop looking."""
        self._loop.stop(STOP_S)

    def _look(self) -> float:
        fault = None
        try:
            seen = self._stamp()
            if seen != self._seen:
                self.known = _by_key(self._file.read() if seen else ())
                self._seen = seen
        except (OSError, ConfigError) as error:
            fault = str(error) if isinstance(error, ConfigError) else fault_of(error)
        if fault != self._fault and fault is not None:
            log.error("the stored tokens cannot be read; they count as when last read", fault=fault)
        self._fault = fault
        return LOOK_S

    def _stamp(self) -> tuple[int, int, int] | None:
        """What changes when the file does."""
        try:
            found = self._file.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def same_name(one: str, other: str) -> bool:
    """Whether two names are one token's: case and white space at the ends make no second one."""
    return one.strip().casefold() == other.strip().casefold()


def key_of(digest: bytes) -> bytes:
    """What a token is looked up by: a part of its hash, which tells nothing of the token. The whole hash is
    then compared in constant time."""
    return digest[:8]


def _by_key(tokens: Sequence[StoredToken]) -> Mapping[bytes, StoredToken]:
    good = (token for token in tokens if token.revoked_ms is None)
    return {key_of(bytes.fromhex(token.sha256)): token for token in good}


def _forget_oldest(tokens: list[StoredToken], at_ms: int) -> None:
    """Keep the file bounded: what is no longer good goes, the oldest first."""
    useless = [token for token in tokens if not token.is_good(at_ms)]
    for token in useless[: max(0, len(tokens) - MAX_TOKENS)]:
        tokens.remove(token)
    if len(tokens) > MAX_TOKENS:
        raise ConfigError(f"there are {MAX_TOKENS} tokens in use already; revoke some first")
