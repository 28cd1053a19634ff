"""Sessions of people at the incident page: a signed cookie, good for an hour, and its CSRF token. Pure."""

import base64
import binascii
import hmac

import msgspec

COOKIE = "auditfuse_session"
VALID_MS = 3_600_000
MAX_COOKIE_CHARS = 2_000


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Who has identified themselves, and by what."""

    id: str
    """Random: makes two sessions of one person two."""
    name: str
    expires_ms: int
    token: str | None = None
    """SHA-256 (hex) of the token that was typed in: it is looked up at each request, so that it can be
    revoked."""
    incident_id: str | None = None
    """Of a session that a one-time link began: the one incident that it is for."""


class Sessions:
    """Signs sessions and reads them back."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def cookie(self, session: Session) -> str:
        """The cookie's value."""
        content = base64.urlsafe_b64encode(msgspec.json.encode(session)).rstrip(b"=")
        return f"{content.decode()}.{self._sign(content)}"

    def read(self, cookie: str | None, now_ms: int) -> Session | None:
        """The session of a cookie; None for none, a forged or an old one."""
        if not cookie or len(cookie) > MAX_COOKIE_CHARS or not cookie.isascii():
            return None
        content, _, signature = cookie.encode().rpartition(b".")
        if not hmac.compare_digest(self._sign(content).encode(), signature):
            return None
        try:
            padded = content + b"=" * (-len(content) % 4)
            session = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=Session)
        except (binascii.Error, ValueError, msgspec.MsgspecError):
            return None
        return session if now_ms < session.expires_ms else None

    def csrf(self, session: Session) -> str:
        """What a form of this session must bring."""
        return hmac.digest(self._key, f"csrf {session.id}".encode(), "sha256").hex()

    def _sign(self, content: bytes) -> str:
        return hmac.digest(self._key, b"session " + content, "sha256").hex()
