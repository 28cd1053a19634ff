"""The role respond: pages go out, findings are sealed. On one member at a time; the others stand by."""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Sequence

import structlog

from pipeline.audit.control import AppendLog, AppendRow
from pipeline.audit.store import FINDINGS
from pipeline.errors import AuditfuseError
from pipeline.killswitch.state import Context, join
from pipeline.publish.build import new_publishers
from pipeline.publish.publisher import STOP_TIMEOUT_S
from pipeline.respond import state_watch
from pipeline.respond.active import ActiveLock
from pipeline.respond.config import RespondConfig
from pipeline.respond.outbox import Deliverer
from pipeline.respond.page import Page
from pipeline.respond.pager import ApprisePager, Sent
from pipeline.respond.sender import Round
from pipeline.respond.state import StateDatabase
from pipeline.respond.state_watch import StateWatch
from pipeline.roles.parts import Parts
from pipeline.roles.supervise import Supervisor
from schemas.finding import RowOfFindings

ASK_S = 1.0
"""How often a member that stands by asks for the lock."""

log = structlog.get_logger()


class _NotOurs(AuditfuseError):
    """This member may not respond now."""


class _RightfulPager(ApprisePager):
    """Sends nothing without the right, as after the process stood still."""

    def __init__(self, config: RespondConfig, require_right: Callable[[], None]) -> None:
        super().__init__(config)
        self._require_right = require_right

    def send(self, target: str, page: Page) -> Sent:
        """As any pager. Raises where the right was lost: nothing was sent."""
        self._require_right()
        return super().send(target, page)


class Respond:
    """Delivers what the outbox holds, and publishes what is sealed to the topics of others."""

    def __init__(self, parts: Parts, supervisor: Supervisor) -> None:
        self._parts = parts
        self._supervisor = supervisor
        self._stop = threading.Event()
        self._lost = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = ActiveLock(parts.config.state, on_lost=self._on_lost)
        # It looks again and again by itself: one look must not hold up the end of the process.
        impatient = parts.config.state.model_copy(update={"retry_for_ms": 0})
        respond = parts.config.respond
        self._looked_at = StateDatabase(impatient, respond)
        self._state_watch = StateWatch(self._looked_at, ApprisePager(respond), respond, parts.now_ms)
        self.rounds: Callable[[], Sequence[Round]] = tuple
        """Makes what runs beside the delivery, each time that this member begins to respond."""
        self.deliverer = self._new_deliverer()
        self.publishers = new_publishers(parts.config, parts.store, parts.state, parts.keys)
        self._has_asked = False

    def start(self) -> None:
        """Nothing waits for no loop here."""

    async def run(self, done: asyncio.Event) -> None:
        """Respond while no other member does."""
        self._loop = asyncio.get_running_loop()
        ending = asyncio.create_task(self._end_at(done))
        watching = asyncio.create_task(self._watch_state(done))
        try:
            if not await asyncio.to_thread(self._parts.await_state, self._stop):
                return
            while not done.is_set() or not self._has_asked:
                self._lost.clear()
                if await asyncio.to_thread(self._lock.try_acquire):
                    await self._respond(done)
                elif not self._has_asked:
                    log.info("another member responds; this one stands by")
                self._has_asked = True
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), ASK_S)
        finally:
            ending.cancel()
            watching.cancel()

    def close(self) -> None:
        """All else is over by now."""
        self._looked_at.close()

    def readiness(self) -> dict[str, bool]:
        """Of a member that stands by, that it asks."""
        if not self._parts.leads_responding:
            return {"delivery": self._has_asked or not self.publishers}
        return {publisher.part: publisher.is_ready for publisher in self.publishers}

    def conditions(self) -> dict[str, str]:
        """A member that stands by does its work."""
        return {}

    def wake(self) -> None:
        """Something was found. From any thread."""
        self.deliverer.wake()

    async def _respond(self, done: asyncio.Event) -> None:
        """Until `done` and all is delivered, or until the lock is lost: then stop at once, with whatever is
        under way, since another member goes on."""
        self._parts.leads_responding = True
        if self._has_asked:
            self.deliverer = self._new_deliverer()
            log.warning("this member responds now")
        self.deliverer.also(*self.rounds())
        work = asyncio.create_task(self._work(done))
        lost = asyncio.create_task(self._lost.wait())
        try:
            await asyncio.wait({work, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                log.error("the right to respond was lost; this member stops")
                work.cancel()
            await asyncio.gather(work, return_exceptions=lost.done())
        finally:
            lost.cancel()
            self._parts.leads_responding = False
            await asyncio.to_thread(self._lock.release)

    async def _work(self, done: asyncio.Event) -> None:
        publishing = [
            asyncio.create_task(
                self._supervisor.run(publisher.part, functools.partial(publisher.run, done), done)
            )
            for publisher in self.publishers
        ]
        try:
            await self.deliverer.run(done)
            if publishing:
                await asyncio.wait(publishing, timeout=STOP_TIMEOUT_S)
        finally:
            for task in publishing:
                task.cancel()
            await asyncio.gather(*publishing, return_exceptions=True)

    async def _watch_state(self, done: asyncio.Event) -> None:
        """Nobody holds the lock of a server that is away: that is told by each member that stands by."""
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), state_watch.ROUND_S)
            stands_by = not self._parts.leads_responding
            if not done.is_set() and (stands_by or self._state_watch.is_away):
                await asyncio.to_thread(self._state_watch.step)

    async def _end_at(self, done: asyncio.Event) -> None:
        await done.wait()
        self._stop.set()

    def _on_lost(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._lost.set)

    def _new_deliverer(self) -> Deliverer:
        parts = self._parts
        append_log = AppendLog(parts.store, FINDINGS, writer_id=parts.writer_id, now_ms=parts.now_ms)

        def append(rows: Sequence[RowOfFindings]) -> None:
            self._require_right()
            append_log.append([AppendRow.of(row) for row in rows])

        return Deliverer(
            parts.state,
            append,
            _RightfulPager(parts.config.respond, self._require_right),
            parts.config.respond,
            parts.now_ms,
            switch_state=self._switch_words,
            companion=parts.companion,
        )

    def _require_right(self) -> None:
        if not self._lock.is_held:
            raise _NotOurs("another member may respond by now")

    def _switch_words(self, environment: str, agent_id: str) -> str:
        context = Context(agents=frozenset({agent_id.casefold()}), environment=environment.casefold())
        return join(self._parts.switch.state.matching(context))
