"""One-time links to incident pages, each bound to a person. Only the hash of a secret is stored.

Looking at a link changes nothing, since mail scanners and chats fetch what they are sent; the first order
that is given with it uses it up.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from typing import NamedTuple

from sqlalchemy import Connection, Row, delete, insert, select, update

from pipeline.respond import tables
from pipeline.respond.state import StateDatabase

MAX_SECRET_CHARS = 200
KEPT_MS = 7 * 86_400_000


class Link(NamedTuple):
    """A link that is good."""

    incident_id: str
    person: str


class Links:
    """The links of one state database. Blocking."""

    def __init__(self, state: StateDatabase, key: bytes) -> None:
        """`key`: what the secrets of pages follow from, so that a page that is sent again has the same
        link."""
        self._state = state
        self._key = key

    def create(self, incident_id: str, person: str, now_ms: int, valid_s: float) -> str:
        """A new link's secret."""
        return self._store(secrets.token_urlsafe(32), Link(incident_id, person), now_ms, valid_s)

    def of_page(self, page_id: str, target: str, link: Link, now_ms: int, valid_s: float) -> str:
        """The secret of the link in one page to one target: the same at every attempt."""
        about = "\0".join(("page", page_id, target, *link)).encode()
        digest = hmac.digest(self._key, about, "sha256")
        return self._store(urlsafe_b64encode(digest).decode().rstrip("="), link, now_ms, valid_s)

    def look(self, secret: str, now_ms: int) -> Link | None:
        """The link of a secret, where it is good and unused. Changes nothing."""
        hashed = _hashed(secret)
        return self._state.read(lambda connection: _good(_find(connection, hashed), now_ms))

    def use(self, secret: str, incident_id: str, now_ms: int) -> Link | None:
        """Use a link up; None where it was used before, has expired or is of another incident."""
        table, hashed = tables.links, _hashed(secret)

        def transaction(connection: Connection) -> Link | None:
            link = _good(_find(connection, hashed), now_ms)
            if link is None or link.incident_id != incident_id:
                return None
            mine = (table.c.secret_hash == hashed) & table.c.used_at_ms.is_(None)
            used = connection.execute(update(table).where(mine).values(used_at_ms=now_ms))
            return link if used.rowcount == 1 else None

        return self._state.write(transaction)

    def _store(self, secret: str, link: Link, now_ms: int, valid_s: float) -> str:
        table, hashed = tables.links, _hashed(secret)

        def transaction(connection: Connection) -> None:
            connection.execute(delete(table).where(table.c.expires_at_ms < now_ms - KEPT_MS))
            if _find(connection, hashed) is None:
                expires_at_ms = now_ms + int(valid_s * 1000)
                values = {"secret_hash": hashed, **link._asdict(), "expires_at_ms": expires_at_ms}
                connection.execute(insert(table).values(**values))

        self._state.write(transaction)
        return secret


def _find(connection: Connection, hashed: str) -> "Row[tuple[object, ...]] | None":
    table = tables.links
    return connection.execute(select(table).where(table.c.secret_hash == hashed)).first()


def _good(row: "Row[tuple[object, ...]] | None", now_ms: int) -> Link | None:
    if row is None or row.used_at_ms is not None or row.expires_at_ms <= now_ms:
        return None
    return Link(row.incident_id, row.person)


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret[:MAX_SECRET_CHARS].encode()).hexdigest()
