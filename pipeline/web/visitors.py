"""Who looks at the incident page, and who gives an order there.

Anyone who may view sees it: by session, by one-time link, by a bearer token, or from this machine. Orders are
given by a person who is known by name; looking never identifies anybody and never uses a link up.
"""

import hashlib
import secrets
from collections.abc import Mapping
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from starlette.requests import Request

from pipeline.clock import NowMs
from pipeline.errors import AuditfuseError
from pipeline.killswitch import http
from pipeline.killswitch.auth import Caller
from pipeline.respond.links import Links
from pipeline.respond.public_url import is_loopback
from pipeline.web.sessions import COOKIE, VALID_MS, Session, Sessions

LINK_RIGHTS = frozenset({"view", "trip", "request"})
"""What a link may: to answer and to stop. Never to approve, since who makes links could approve in any
name."""
MAX_NAME_CHARS = 200


class Callers(Protocol):
    """Who is behind a token. `killswitch.auth.Authenticator`."""

    def caller(self, authorization: bytes | None, *, local: bool) -> Caller | None:
        """The caller behind an Authorization header."""
        ...

    def known(self, digest: bytes, *, local: bool) -> Caller | None:
        """The caller whose token has this SHA-256 now; None for one that is unknown, revoked or expired."""
        ...

    def record_failure(self, address: str | None) -> float | None:
        """Count and log a failed attempt; how many seconds its answer waits, None: it is refused."""
        ...


class RefusedError(AuditfuseError):
    """A request that is not answered as asked. `status` is HTTP's."""

    def __init__(self, status: int, text: str, *, suspicious: bool = False) -> None:
        """`suspicious`: a failed attempt, which is recorded."""
        super().__init__(text)
        self.status = status
        self.suspicious = suspicious


class Visitor(NamedTuple):
    """Who it is, as far as that is known."""

    name: str | None
    rights: frozenset[str]
    session: Session | None = None
    secret: str | None = None
    """Of the one-time link that the page was opened by."""
    incident_id: str | None = None
    """The one incident that a link is for; None: any."""

    def may(self, right: str, incident_id: str | None) -> bool:
        """Whether they may do this, at this incident or (None) at all of them."""
        return right in self.rights and self.incident_id in (None, incident_id)


class Person(NamedTuple):
    """Who gives an order."""

    name: str
    visitor: Visitor
    began: Session | None
    """The session that this order begins: its cookie goes with the answer."""


class Visitors:
    """Tells who a request comes from."""

    def __init__(
        self, callers: Callers, sessions: Sessions, links: Links, public_url: str | None, now_ms: NowMs
    ) -> None:
        self._callers = callers
        self.sessions = sessions
        self._links = links
        self._public_url = public_url
        self._now_ms = now_ms

    def look(self, request: Request, secret: str | None) -> Visitor:
        """Who looks; changes nothing. `secret`: of the link in the address. May read the state database."""
        authorization = http.header(request.scope, b"authorization")
        if authorization is not None:
            return self._by_token(request, authorization)
        session = self._session(request)
        if session is not None:
            return session
        link = self._links.look(secret, self._now_ms()) if secret else None
        if link is not None:
            return Visitor(link.person, LINK_RIGHTS, secret=secret, incident_id=link.incident_id)
        local = http.is_local(request.scope) and self._is_our_name(request)
        caller = self._callers.caller(None, local=local)
        return Visitor(None, (caller.rights if caller else frozenset[str]()) & {"view"})

    def give(self, request: Request, form: Mapping[str, str], incident_id: str, right: str) -> Person:
        """Who gives an order with this form. Uses a link up. Raises RefusedError."""
        authorization = http.header(request.scope, b"authorization")
        if authorization is not None:
            visitor = self._by_token(request, authorization)
            return self._person(visitor, visitor.name or form.get("by"), right, incident_id)
        self.require_same_origin(request)
        session = self._session(request)
        if session is not None and session.session is not None:
            if not _equal(form.get("csrf"), self.sessions.csrf(session.session)):
                raise RefusedError(
                    403, "this form is not of your session; open the page again", suspicious=True
                )
            return self._person(session, session.name, right, incident_id)
        return self._by_link(form.get("link"), incident_id, right)

    def sign_in(self, request: Request, form: Mapping[str, str]) -> Session:
        """A session for a token that was typed in. Raises RefusedError."""
        self.require_same_origin(request)
        token = form.get("token", "").strip().encode()
        local = http.is_local(request.scope)
        caller = self._callers.caller(b"Bearer " + token, local=local) if token else None
        if caller is None or not caller.rights & {"view"}:
            raise RefusedError(401, "this token is not known, or not good for people", suspicious=True)
        name = caller.name or _name(form.get("by"))
        digest = hashlib.sha256(token).hexdigest()
        return self._new_session(name, token=digest)

    def require_same_origin(self, request: Request) -> None:
        """Raises RefusedError for a form that another site sent."""
        origin = request.headers.get("origin")
        if origin is None or origin.casefold() not in self._origins(request):
            raise RefusedError(403, "this order came from another site", suspicious=True)

    def is_secure(self, request: Request) -> bool:
        """Whether cookies go over TLS alone."""
        if request.url.scheme == "https":
            return True
        public = urlsplit(self._public_url or "")
        return public.scheme == "https" and public.netloc.casefold() == _host(request)

    def _by_token(self, request: Request, authorization: bytes) -> Visitor:
        caller = self._callers.caller(authorization, local=http.is_local(request.scope))
        if caller is None:
            raise RefusedError(401, "this token is not known", suspicious=True)
        return Visitor(caller.name, caller.rights)

    def _session(self, request: Request) -> Visitor | None:
        session = self.sessions.read(request.cookies.get(COOKIE), self._now_ms())
        if session is None:
            return None
        if session.token is None:
            return Visitor(session.name, LINK_RIGHTS, session, incident_id=session.incident_id)
        caller = self._callers.known(bytes.fromhex(session.token), local=http.is_local(request.scope))
        if caller is None or (caller.name or session.name) != session.name:
            return None
        return Visitor(session.name, caller.rights, session)

    def _by_link(self, secret: str | None, incident_id: str, right: str) -> Person:
        if not secret:
            raise RefusedError(401, "say who you are first", suspicious=True)
        if right not in LINK_RIGHTS:
            raise RefusedError(403, f"a link may not {right}: sign in with your own token")
        link = self._links.use(secret, incident_id, self._now_ms())
        if link is None:
            raise RefusedError(
                401, "this link was used before, has expired or is of another incident", suspicious=True
            )
        session = self._new_session(link.person, incident_id=incident_id)
        visitor = Visitor(link.person, LINK_RIGHTS, session, incident_id=incident_id)
        return Person(link.person, visitor, session)

    def _person(self, visitor: Visitor, name: str | None, right: str, incident_id: str) -> Person:
        if not visitor.may(right, incident_id):
            raise RefusedError(403, f"you may not {right} here", suspicious=True)
        return Person(_name(name), visitor, None)

    def _new_session(self, name: str, *, token: str | None = None, incident_id: str | None = None) -> Session:
        return Session(
            id=secrets.token_hex(16),
            name=name,
            expires_ms=self._now_ms() + VALID_MS,
            token=token,
            incident_id=incident_id,
        )

    def _is_our_name(self, request: Request) -> bool:
        """Whether the page was asked for under a name of ours: a site whose name was pointed at this machine
        must not read what this machine may."""
        host = _host(request)
        public = urlsplit(self._public_url or "").netloc.casefold()
        return host == public or is_loopback(urlsplit(f"//{host}").hostname or "")

    def _origins(self, request: Request) -> set[str]:
        public = urlsplit(self._public_url or "")
        origins = {f"{request.url.scheme}://{_host(request)}"}
        return origins | ({f"{public.scheme}://{public.netloc}".casefold()} if public.netloc else set())


def _host(request: Request) -> str:
    return request.headers.get("host", "").casefold()


def _equal(one: str | None, other: str) -> bool:
    return one is not None and secrets.compare_digest(one.encode(), other.encode())


def _name(text: str | None) -> str:
    name = (text or "").strip()
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise RefusedError(400, "say your name: this machine's token is nobody's in particular")
    return name
