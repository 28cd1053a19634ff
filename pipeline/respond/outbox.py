"""Delivers what the outbox holds: rows into `_findings`, pages to their targets.

Order: the state transaction first (`state.consume`), then the append, then the page, which waits for
the append only a few seconds. Each step is marked after it succeeded, so a process that dies at any
point repeats at most one step, under the same id. Run one deliverer for each state database.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import structlog

from pipeline import metrics
from pipeline.clock import NowMs, system_now_ms
from pipeline.errors import AuditfuseError
from pipeline.respond.config import RespondConfig, Target
from pipeline.respond.incidents import SEVERITY_RANK
from pipeline.respond.messages import Content, Outbox
from pipeline.respond.page import Page, render
from pipeline.respond.pager import Pager, Sent
from pipeline.respond.plan import Message, backoff_ms, plan
from pipeline.respond.state import StateDatabase
from schemas.finding import RowOfFindings

AppendFindings = Callable[[list[RowOfFindings]], None]
"""Seals rows in `_findings`, leaving out ids that are there already. Blocking; raises where it cannot."""
SwitchState = Callable[[str, str], str | None]
"""The kill-switch state of (environment, agent) in words."""
Round = Callable[[], float]
"""One round of a part of the delivery; returns the seconds until the next."""
APPEND_ROWS = 1_000
"""Rows an entry of `_findings` takes."""
POLL_S = 0.25
SETTLE_S = 0.05
MEASURE_S = 5.0
RETRY_S = 1.0
_log = structlog.get_logger("auditfuse.respond")


class Attempt(NamedTuple):
    """A message that was sent, or was tried to be, and how that went."""

    message: Message
    sent: Sent
    at_ms: int
    elapsed_ms: int


class Deliverer:
    """Runs until stopped. Nothing of it depends on memory: what waits is in the state database."""

    def __init__(
        self,
        state: StateDatabase,
        append_findings: AppendFindings,
        pager: Pager,
        config: RespondConfig,
        now_ms: NowMs = system_now_ms,
        *,
        switch_state: SwitchState | None = None,
    ) -> None:
        self._outbox = Outbox(state, config)
        self._append_findings = append_findings
        self._pager = pager
        self._config = config
        self._now_ms = now_ms
        self._switch_state = switch_state
        self._wakers: list[asyncio.Event] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def wake(self) -> None:
        """Look at the outbox now. May be called from any thread, after a consumption."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_all)

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; then append what waits, try once what is due, and return."""
        self._loop = asyncio.get_running_loop()
        targets = self._config.all_targets()
        # Threads of its own: a slow target must not take the threads that everything else uses.
        pool = ThreadPoolExecutor(len(targets) + 2, thread_name_prefix="respond")
        append = self._append_round()
        sends = [self._target_round(target) for target in targets]
        try:
            await self._until(stop, pool, self._prepare)
            async with asyncio.TaskGroup() as group:
                for each in (append, *sends, self._measure):
                    group.create_task(self._repeat(stop, pool, each))
                group.create_task(self._wake_at(stop))
            await self._finish(pool, append, sends)
        finally:
            pool.shutdown(wait=False)

    async def _finish(self, pool: ThreadPoolExecutor, append: Round, sends: Sequence[Round]) -> None:
        while await self._once(pool, append) == 0:
            pass
        await asyncio.gather(*(self._once(pool, send) for send in sends))

    def drain_once(self) -> int:
        """Append everything that waits and try every page that is due once. Blocking, for commands
        that end. Returns how many rows and messages still wait."""
        append = self._append_round()
        while append() == 0:
            pass
        for target in self._config.all_targets():
            self._target_round(target)()
        waiting = self._outbox.waiting()
        return waiting.appends + waiting.pages

    def _prepare(self) -> float:
        self._pager.prepare()
        self._outbox.reroute(self._now_ms())
        return 0.0

    def _measure(self) -> float:
        """Set the gauges; returns the seconds until the next time."""
        waiting = self._outbox.waiting()
        metrics.outbox_waiting.set(waiting.pages)
        since_ms = waiting.oldest_page_ms
        age_ms = 0 if since_ms is None else max(self._now_ms() - since_ms, 0)
        metrics.outbox_oldest_seconds.set(age_ms / 1000)
        for severity in SEVERITY_RANK:
            metrics.incidents_open.labels(severity).set(waiting.open_incidents.get(severity, 0))
        return MEASURE_S

    def _append_round(self) -> Round:
        """A round appends one batch and returns the seconds until the next."""
        failures = 0

        def append_one_batch() -> float:
            nonlocal failures
            rows = self._outbox.pending_appends(APPEND_ROWS)
            if not rows:
                return POLL_S
            try:
                self._append_findings([row for _, row in rows])
            except Exception as error:  # noqa: BLE001 (the rows stay, paging goes on)
                failures += 1
                _log.warning("findings_not_sealed", rows=len(rows), kind=type(error).__name__)
                return backoff_ms("_findings", failures, self._config) / 1000
            failures = 0
            self._outbox.appended([seq for seq, _ in rows])
            self.wake()
            return 0.0

        return append_one_batch

    def _target_round(self, target: Target) -> Round:
        """A round sends what is due to one target, one message after the other."""

        unrecorded: list[Attempt] = []

        def send_what_is_due() -> float:
            # What was sent and could not be marked (a locked database) is marked before anything else
            # is sent: not once a second again until the lock is gone.
            while unrecorded:
                self._record(unrecorded[0])
                unrecorded.pop(0)
            now_ms = self._now_ms()
            pause_ms = self._outbox.health(target.name).next_attempt_at_ms - now_ms
            if pause_ms > 0:
                return min(pause_ms / 1000, 1.0)
            # Asked first: what is sealed in between must not make half a storm look whole.
            is_whole = not self._outbox.awaits_append(target.name, now_ms)
            due = self._outbox.due(target.name, now_ms)
            if not due:
                return POLL_S
            budget = target.per_minute - self._outbox.sent_in_last_minute(target.name, now_ms)
            planned = plan(due, budget)
            if planned.bundled and not is_whole and self._is_fresh(due, now_ms):
                return SETTLE_S  # the worst may be in the part that is not sealed yet
            if planned.bundled:
                self._outbox.bundle(target.name, planned.bundled, now_ms)
            for message in planned.single:
                attempt = self._attempt(message)
                unrecorded.append(attempt)
                self._record(attempt)
                unrecorded.clear()
                if attempt.sent.outcome not in ("sent", "refused"):
                    return POLL_S
            return 0.0 if planned.bundled else POLL_S

        return send_what_is_due

    def _is_fresh(self, due: Sequence[Message], now_ms: int) -> bool:
        """Whether nothing that is due has waited for longer than a page waits for its finding."""
        return now_ms - min(message.created_at_ms for message in due) < self._config.append_wait_s * 1000

    def _attempt(self, message: Message) -> Attempt:
        page = self._page(message, self._outbox.content(message))
        started_s = time.monotonic()
        sent = self._pager.send(message.target, page)
        elapsed_ms = int((time.monotonic() - started_s) * 1000)
        _tell(message, sent, elapsed_ms)
        return Attempt(message, sent, self._now_ms(), elapsed_ms)

    def _record(self, attempt: Attempt) -> None:
        self._outbox.record(attempt.message, attempt.sent, attempt.at_ms, attempt.elapsed_ms)

    def _page(self, message: Message, content: Content) -> Page:
        if content.ready is not None:
            return content.ready
        assert content.episode is not None and content.lead is not None  # noqa: S101
        incident, lead = content.episode.incident, content.lead
        switch_state: str | None = None
        if self._switch_state is not None:
            with contextlib.suppress(AuditfuseError):
                switch_state = self._switch_state(incident.environment, incident.agent_id)
        return render(
            incident,
            lead.finding,
            lead.evidence,
            switch_state,
            page_id=message.page_id,
            change=message.change,
            trip=content.trip,
            late=lead.late,
        )

    async def _repeat(self, stop: asyncio.Event, pool: ThreadPoolExecutor, each: Round) -> None:
        woken = asyncio.Event()
        self._wakers.append(woken)
        while not stop.is_set():
            pause_s = await self._until(stop, pool, each)
            if pause_s:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), pause_s)
            woken.clear()

    async def _until(self, stop: asyncio.Event, pool: ThreadPoolExecutor, call: Round) -> float:
        """Run `call` off the loop; where it fails, again and again."""
        while not stop.is_set():
            pause_s = await self._once(pool, call)
            if pause_s is not None:
                return pause_s
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RETRY_S)
        return POLL_S

    async def _once(self, pool: ThreadPoolExecutor, call: Round) -> float | None:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, call)
        except Exception as error:  # noqa: BLE001 (one fault must not end all paging)
            _log.warning("delivery_round_failed", kind=type(error).__name__)
            return None

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake_all()

    def _wake_all(self) -> None:
        for woken in self._wakers:
            woken.set()


def _tell(message: Message, sent: Sent, elapsed_ms: int) -> None:
    """Metrics and log of one attempt."""
    if sent.outcome == "sent":
        metrics.pages_sent.labels(message.target).inc()
        _log.info("page_sent", page=message.page_id, target=message.target, elapsed_ms=elapsed_ms)
        return
    metrics.pages_failed.labels(message.target).inc()
    _log.warning(
        "page_not_delivered",
        page=message.page_id,
        target=message.target,
        attempt=message.attempts + 1,
        outcome=sent.outcome,
        error=sent.error,
    )
