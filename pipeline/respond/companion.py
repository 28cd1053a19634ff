"""What goes along with a page: causes, counts, a plot, a link. Asked for in a thread of its own.

A page is never late for them: they are begun as soon as the incident is stored, the page takes what is ready
when it goes out, and waits at most a moment that is counted from the incident's change; not at all where the
last answers took longer than that.
"""

import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import structlog
from sqlalchemy import Connection, select

from pipeline.clock import NowMs, system_now_ms
from pipeline.errors import AuditfuseError
from pipeline.respond import plot_png, tables
from pipeline.respond.config import RespondConfig
from pipeline.respond.insight import Insight
from pipeline.respond.links import Link, Links
from pipeline.respond.moments import marks_of
from pipeline.respond.page import plot_title
from pipeline.respond.plan import Message
from pipeline.respond.public_url import incident_url
from pipeline.respond.state import StateDatabase
from schemas.finding import FindingRow
from schemas.incident import Incident

Look = Callable[[FindingRow, int, float], Insight]
"""A lead finding, the newest time to show and the seconds it may take → what the store says. Raises
AuditfuseError."""
LOOK_LIMIT_S = 5.0
FRESH_MS = 30_000
"""What is older is asked for again."""
KEPT = 256
BEGUN_AT_ONCE = 8
"""Incidents that are asked about before their pages are due: the worst first."""
WARM_UP_AFTER_S = 10.0
JUDGED_BY = 3
"""The last answers: where even the quickest of them took longer than a page waits, none is waited for."""

log = structlog.get_logger("auditfuse.respond")


class Extras(NamedTuple):
    """What there is for one page to one target."""

    insight: Insight | None = None
    link: str | None = None
    plot: bytes | None = None


class _Known:
    """What was asked about one finding."""

    def __init__(self) -> None:
        self.insight: Insight | None = None
        self.plot: bytes | None = None
        self.at_ms = 0
        self.asked_s: float | None = None
        self.ready = threading.Event()


class Companion:
    """Thread-safe. Without `start`, nothing is ever ready."""

    def __init__(
        self,
        look: Look,
        state: StateDatabase,
        config: RespondConfig,
        *,
        links: Links | None = None,
        plots: bool = False,
        now_ms: NowMs = system_now_ms,
    ) -> None:
        """`plots`: whether any target takes one."""
        self._look = look
        self._state = state
        self._config = config
        self._links = links
        self._plots = plots
        self._now_ms = now_ms
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._took_s: deque[float] = deque(maxlen=JUDGED_BY)
        self._lock = threading.Lock()
        self._asked: queue.SimpleQueue[FindingRow | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="insight", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more; waits for what is under way."""
        self._asked.put(None)
        self._thread.join(LOOK_LIMIT_S + 1)

    def begin(self) -> None:
        """Something was found: ask about the incidents that are about to be paged. Blocks only on a read."""
        table, pages = tables.incidents, tables.pages

        def waiting(connection: Connection) -> list[bytes]:
            query = (
                select(table.c.lead)
                .where(table.c.incident_id.in_(select(pages.c.incident_id).where(pages.c.state == "pending")))
                .order_by(table.c.severity != "critical", table.c.opened_at_ms.desc())
                .limit(BEGUN_AT_ONCE)
            )
            return list(connection.scalars(query))

        try:
            for lead in self._state.read(waiting):
                self._ask(msgspec.json.decode(lead, type=FindingRow))
        except AuditfuseError as error:
            log.warning("causes_not_begun", kind=type(error).__name__)

    def insight(self, lead: FindingRow, wait_s: float) -> Insight | None:
        """What the store says about an incident's lead finding, as of the last half minute; waits for it."""
        known = self._ask(lead)
        known.ready.wait(wait_s)
        return known.insight

    def extras(self, incident: Incident, lead: FindingRow, message: Message) -> Extras:
        """What goes along with a page. Waits at most until `insight_wait_s` after the page was put into the
        outbox."""
        known = self._ask(lead)
        left_ms = message.created_at_ms + self._config.insight_wait_s * 1000 - self._now_ms()
        if not self._is_hopeless():
            known.ready.wait(max(left_ms, 0) / 1000)
        target = self._config.target(message.target)
        person = target.person if target is not None else None
        link = self.link(incident.incident_id, person, message.target, page_id=message.page_id)
        # Only at first: a service that took the text and not the picture must not be sent both again and
        # again.
        takes_plot = target is not None and target.plot and message.attempts == 0
        return Extras(known.insight, link, known.plot if takes_plot else None)

    def link(self, incident_id: str, person: str | None, target: str, *, page_id: str) -> str | None:
        """The address of the incident's page; bound to a person where the target has one reader."""
        public_url = self._config.public_url
        if public_url is None:
            return None
        if person is None or self._links is None:
            return incident_url(public_url, incident_id)
        try:
            bound = Link(incident_id, person)
            secret = self._links.of_page(page_id, target, bound, self._now_ms(), self._config.link_valid_s)
        except AuditfuseError:
            return incident_url(public_url, incident_id)
        return incident_url(public_url, incident_id, secret)

    def _ask(self, lead: FindingRow) -> _Known:
        with self._lock:
            known = self._known.get(lead.id)
            is_stale = known is None or (known.ready.is_set() and self._now_ms() - known.at_ms > FRESH_MS)
            if is_stale:
                fresh = _Known()
                if known is not None:  # better than nothing until it is there
                    fresh.insight, fresh.plot = known.insight, known.plot
                known = self._known[lead.id] = fresh
                self._known.move_to_end(lead.id)
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
            assert known is not None  # noqa: S101
            if known.asked_s is None and self._thread.is_alive():
                known.asked_s = time.monotonic()
                self._asked.put(lead)
            return known

    def _is_hopeless(self) -> bool:
        """Whether what is not ready now will not be in time: this machine is too busy."""
        took_s = list(self._took_s)
        return len(took_s) == JUDGED_BY and min(took_s) > self._config.insight_wait_s

    def _run(self) -> None:
        lead = self._first()
        while lead is not None:
            with self._lock:
                known = self._known.get(lead.id)
            if known is not None:
                self._answer(lead, known)
            lead = self._asked.get()

    def _first(self) -> FindingRow | None:
        """The first question; where none comes for a while, what answering needs is loaded meanwhile."""
        try:
            return self._asked.get(timeout=WARM_UP_AFTER_S)
        except queue.Empty:
            if self._plots:
                plot_png.warm_up()
            return self._asked.get()

    def _answer(self, lead: FindingRow, known: _Known) -> None:
        try:
            known.insight = self._look(lead, self._now_ms(), LOOK_LIMIT_S)
            if self._plots and known.insight.series is not None:
                marks = marks_of(known.insight)
                known.plot = plot_png.draw(known.insight.series, plot_title(lead.finding), marks)
        except Exception as error:  # noqa: BLE001 (whatever it is: a page goes without)
            log.warning("causes_not_known", finding=lead.id, kind=type(error).__name__)
        known.at_ms = self._now_ms()
        if known.asked_s is not None:
            self._took_s.append(time.monotonic() - known.asked_s)
        known.ready.set()
