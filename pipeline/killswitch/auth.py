"""Who asks: bearer tokens with roles, and the token file of this machine's operator."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline import durable
from pipeline.killswitch.config import Role, Token

TOKEN_FILE = "operator.token"  # noqa: S105 (a file name)
MAX_TOKEN_BYTES = 512

_RIGHTS: Mapping[Role, frozenset[str]] = {
    "agent": frozenset({"flags"}),
    "viewer": frozenset({"flags", "view"}),
    "responder": frozenset({"flags", "view", "trip", "request"}),
    "approver": frozenset({"flags", "view", "trip", "request", "approve"}),
}


class Caller(NamedTuple):
    """Who asks. `name` is None where the caller's own word is taken for it."""

    name: str | None
    rights: frozenset[str]


NOBODY = Caller(None, frozenset())


class Authenticator:
    """Knows callers by their tokens. `local_token` is the machine's own, good from loopback only.

    Names that come with the local token are asserted, not proven: once tokens are configured, which prove
    them, the local token trips and asks for resets but approves none.
    """

    def __init__(
        self, tokens: tuple[Token, ...], local_token: str | None, *, ofrep_open_on_loopback: bool
    ) -> None:
        self._known = [
            (bytes.fromhex(token.sha256), Caller(token.name, _RIGHTS[token.role])) for token in tokens
        ]
        self._local = _digest(local_token.encode()) if local_token else None
        self._local_caller = Caller(None, _RIGHTS["responder" if tokens else "approver"])
        self._anonymous = frozenset({"flags", "view"} if ofrep_open_on_loopback else {"view"})

    def caller(self, authorization: bytes | None, *, local: bool) -> Caller | None:
        """The caller behind an Authorization header; None where a token was given and is not known.

        Every known token is compared, in constant time each, so that timing tells nothing.
        """
        if authorization is None:
            return Caller(None, self._anonymous) if local else NOBODY
        scheme, _, token = authorization.partition(b" ")
        digest = _digest(token.strip()[:MAX_TOKEN_BYTES])
        found: Caller | None = None
        for known, caller in self._known:
            if hmac.compare_digest(known, digest):
                found = caller
        if self._local is not None and hmac.compare_digest(self._local, digest) and local:
            found = self._local_caller
        return found if scheme.lower() == b"bearer" else None


def local_token(directory: Path) -> str:
    """Read, or at the first run make, the operator token of this machine (mode 0600). Raises OSError."""
    path = directory / TOKEN_FILE
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        durable.make_directory(directory, 0o700)
        durable.create_exclusive(path, secrets.token_urlsafe(32).encode() + b"\n", directory, 0o600)
        return path.read_text().strip()


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
