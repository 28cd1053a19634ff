"""The incident pages as routes of the control server.

GET shows and changes nothing, whoever fetches it: chats unfurl links and mail scanners follow them. What
changes something is a POST by a person who is known by name, answered with a 303 to the page.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from pipeline import metrics
from pipeline.clock import NowMs, system_now_ms
from pipeline.errors import StoreError
from pipeline.killswitch import http
from pipeline.killswitch.compose import CommandError
from pipeline.killswitch.switch import KillSwitch
from pipeline.redact.reasons import Redact
from pipeline.respond.config import RespondConfig
from pipeline.respond.links import Links
from pipeline.respond.public_url import PATH
from pipeline.respond.state import StateDatabase, StateUnavailable
from pipeline.web.key import subkey
from pipeline.web.orders import ORDERS, Orders
from pipeline.web.reading import AskInsight, Reading
from pipeline.web.render import html
from pipeline.web.sessions import COOKIE, VALID_MS, Session, Sessions
from pipeline.web.view import incident_page, list_page
from pipeline.web.visitors import Callers, RefusedError, Visitor, Visitors
from schemas.incident import Incident

THREADS = 4
"""At most so many requests are looked up at once: the threads that serve orders of the switch stay free."""
MAX_FIELDS = 20
_ID = re.compile(r"inc_[0-9a-f]{24}-[0-9]{1,9}")
_COMMAND_STATUS = {"invalid": 400, "unknown": 404, "conflict": 409}
_T = TypeVar("_T")

log = structlog.get_logger()


class Site:
    """Everything the pages need; `routes` mounts them."""

    def __init__(
        self,
        switch: KillSwitch,
        state: StateDatabase,
        config: RespondConfig,
        *,
        key: bytes,
        insight: AskInsight,
        redact: Redact,
        now_ms: NowMs = system_now_ms,
    ) -> None:
        """`state`: one that gives up soon where the database is locked; `key`: see `web_key`; `redact`:
        makes a person's words fit to be kept."""
        self._config = config
        self._now_ms = now_ms
        self._reading = Reading(state, switch, insight)
        self._orders = Orders(state, switch, self._reading, redact, now_ms)
        self._links = Links(state, subkey(key, "links of pages"))
        self._sessions = Sessions(subkey(key, "sessions"))
        self._limiter = anyio.CapacityLimiter(THREADS)

    def routes(self, callers: Callers) -> Sequence[BaseRoute]:
        """The routes, for people that `callers` knows."""
        return _Pages(self, callers).routes()

    # What the pages below use; each is blocking.
    def visitors(self, callers: Callers) -> Visitors:
        """Who requests come from."""
        return Visitors(callers, self._sessions, self._links, self._config.public_url, self._now_ms)

    def incident(self, incident_id: str, visitor: Visitor) -> dict[str, Any]:
        """What the page of an incident is filled with."""
        session = visitor.session
        csrf = self._sessions.csrf(session) if session is not None else None
        shown = self._reading.shown(incident_id)
        return incident_page(shown, visitor, csrf=csrf, runbook_url=self._config.runbook_url)

    def listed(self) -> list[Incident]:
        """The incidents of the list."""
        return self._reading.listed()

    def carry_out(self, kind: str, incident_id: str, by: str, form: dict[str, str]) -> None:
        """Carry an order out."""
        self._orders.carry_out(kind, incident_id, by, form)

    async def in_thread(self, call: Callable[[], _T]) -> _T:
        """Run what blocks."""
        return await anyio.to_thread.run_sync(call, limiter=self._limiter)


class _Pages:
    """The handlers."""

    def __init__(self, site: Site, callers: Callers) -> None:
        self._site = site
        self._callers = callers
        self._visitors = site.visitors(callers)

    def routes(self) -> list[BaseRoute]:
        return [
            Route(PATH, self._guarded(self.list_incidents), methods=["GET"]),
            Route(f"{PATH}/session", self._guarded(self.sign_in), methods=["POST"]),
            Route(f"{PATH}/session/end", self._guarded(self.sign_out), methods=["POST"]),
            Route(f"{PATH}/{{incident_id}}", self._guarded(self.show), methods=["GET"]),
            Route(f"{PATH}/{{incident_id}}/{{kind}}", self._guarded(self.order), methods=["POST"]),
        ]

    async def list_incidents(self, request: Request) -> Response:
        """`GET /incidents`"""
        visitor = await self._look(request)
        if not visitor.may("view", None):
            return self._who_are_you(request, visitor)
        incidents = await self._site.in_thread(self._site.listed)
        return html("list.html", 200, list_page(incidents, visitor))

    async def show(self, request: Request) -> Response:
        """`GET /incidents/{id}`"""
        incident_id = _incident_id(request)
        visitor = await self._look(request)
        if not visitor.may("view", incident_id):
            return self._who_are_you(request, visitor)
        done = ORDERS.get(request.query_params.get("done", ""))
        return await self._page(incident_id, visitor, 200, notice=done.done if done else None)

    async def order(self, request: Request) -> Response:
        """`POST /incidents/{id}/{order}`"""
        incident_id, kind = _incident_id(request), request.path_params["kind"]
        if kind not in ORDERS:
            raise RefusedError(404, "there is no such order")
        form = await _form(request)
        give = lambda: self._visitors.give(request, form, incident_id, ORDERS[kind].right)  # noqa: E731
        person = await self._site.in_thread(give)
        try:
            await self._site.in_thread(lambda: self._site.carry_out(kind, incident_id, person.name, form))
        except (CommandError, RefusedError) as error:
            status = _COMMAND_STATUS[error.kind] if isinstance(error, CommandError) else error.status
            answer = await self._page(incident_id, person.visitor, status, fault=str(error))
        else:
            log.info("order of the incident page", order=kind, incident=incident_id, by=person.name)
            answer = RedirectResponse(f"{PATH}/{incident_id}?done={kind}", 303)
        return self._with_session(request, answer, person.began)

    async def sign_in(self, request: Request) -> Response:
        """`POST /incidents/session`"""
        form = await _form(request)
        goal = form.get("next", "")
        try:
            session = self._visitors.sign_in(request, form)
        except RefusedError as error:
            if error.status == 403:
                raise
            await self._record(request, error)
            return self._who_are_you(request, None, fault=str(error), goal=goal, status=error.status)
        goal = goal if goal == PATH or _ID.fullmatch(goal.removeprefix(f"{PATH}/")) else PATH
        return self._with_session(request, RedirectResponse(goal, 303), session)

    async def sign_out(self, request: Request) -> Response:
        """`POST /incidents/session/end`"""
        self._visitors.require_same_origin(request)
        answer = RedirectResponse(PATH, 303)
        answer.delete_cookie(COOKIE, path=PATH)
        return answer

    async def _page(
        self,
        incident_id: str,
        visitor: Visitor,
        status: int,
        *,
        notice: str | None = None,
        fault: str | None = None,
    ) -> Response:
        content = await self._site.in_thread(lambda: self._site.incident(incident_id, visitor))
        return html("incident.html", status, {**content, "notice": notice, "fault": fault})

    async def _look(self, request: Request) -> Visitor:
        secret = request.query_params.get("link")
        return await self._site.in_thread(lambda: self._visitors.look(request, secret))

    def _who_are_you(
        self,
        request: Request,
        visitor: Visitor | None,
        *,
        fault: str | None = None,
        goal: str | None = None,
        status: int = 401,
    ) -> Response:
        # A cookie that is for this site alone does not come along when a chat's link is followed. One more
        # request, from the page itself, brings it.
        followed = request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site"
        asked = request.url.path if goal is None else goal
        return html(
            "sign_in.html",
            status if visitor is None or visitor.name is None else 403,
            {"visitor": visitor, "fault": fault, "next": asked, "again": asked if followed else None,
             "had_link": "link" in request.query_params},
        )  # fmt: skip

    def _with_session(self, request: Request, answer: Response, session: Session | None) -> Response:
        if session is not None:
            answer.set_cookie(
                COOKIE,
                self._visitors.sessions.cookie(session),
                max_age=VALID_MS // 1000,
                path=PATH,
                secure=self._visitors.is_secure(request),
                httponly=True,
                samesite="strict",
            )
        return answer

    async def _record(self, request: Request, error: RefusedError) -> None:
        """Count and log a failed attempt, never with what was given; where many come, answer later and
        later."""
        if not error.suspicious:
            return
        metrics.control_refusals.labels("page").inc()
        log.warning(
            "refused at the incident page", why=str(error), path=request.url.path, method=request.method
        )
        if error.status == 401:
            delay_s = self._callers.record_failure(http.address(request.scope))
            await anyio.sleep(delay_s or 0)

    def _guarded(self, handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
        """The handler, whose refusals become pages."""

        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except RefusedError as error:
                await self._record(request, error)
                return _sorry(error.status, str(error))
            except http.BodyError as error:
                metrics.control_refusals.labels("body").inc()
                return _sorry(error.status, str(error))
            except StateUnavailable:
                return _sorry(
                    503,
                    "the state database cannot be used now, so that incidents cannot be shown or changed. "
                    "The kill switch goes on: auditfuse killswitch trip --agent NAME --mode off --reason WHY",
                )
            except StoreError:
                return _sorry(404, "there is no such incident")

        return guarded


def _sorry(status: int, text: str) -> Response:
    return html("refused.html", status, {"status": status, "text": text})


def _incident_id(request: Request) -> str:
    incident_id: str = request.path_params["incident_id"]
    if not _ID.fullmatch(incident_id):
        raise RefusedError(404, "there is no such incident")
    return incident_id


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form, each once. Raises BodyError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise http.BodyError(415, "orders are sent as a form")
    body = await http.read_body(request.scope, request.receive)
    try:
        pairs = parse_qsl(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=bool(body),
            max_num_fields=MAX_FIELDS,
            errors="strict",
        )
    except (ValueError, UnicodeDecodeError):
        raise http.BodyError(400, "the form cannot be read") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise http.BodyError(400, "a field of the form comes twice")
    return form
