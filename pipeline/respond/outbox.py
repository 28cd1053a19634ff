"""Delivers what the outbox holds: rows into `_findings`, pages to their targets.

Order: the state transaction first (`state.consume`), then the append, then the page, which waits for
the append only a few seconds. Each step is marked after it succeeded, so a process that dies at any
point repeats at most one step, under the same id. Run one deliverer for each state database.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from pipeline import metrics
from pipeline.clock import NowMs, system_now_ms
from pipeline.respond.companion import Companion
from pipeline.respond.config import RespondConfig
from pipeline.respond.incidents import SEVERITY_RANK
from pipeline.respond.messages import Outbox
from pipeline.respond.pager import Pager
from pipeline.respond.plan import backoff_ms
from pipeline.respond.sender import POLL_S, Round, Sender, SwitchState
from pipeline.respond.state import StateDatabase
from pipeline.respond.state_watch import StateWatch
from pipeline.respond.targets import Target
from pipeline.respond.upkeep import Upkeep
from schemas.finding import RowOfFindings

AppendFindings = Callable[[list[RowOfFindings]], None]
"""Seals rows in `_findings`, leaving out ids that are there already. Blocking; raises where it cannot."""
APPEND_ROWS = 1_000
"""Rows an entry of `_findings` takes."""
MEASURE_S = 5.0
RETRY_S = 1.0
_log = structlog.get_logger("auditfuse.respond")


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
        companion: Companion | None = None,
    ) -> None:
        self._outbox = Outbox(state, config)
        self._append_findings = append_findings
        self._pager = pager
        self._config = config
        self._now_ms = now_ms
        self._sender = Sender(
            self._outbox, pager, config, now_ms, switch_state=switch_state, companion=companion
        )
        self._upkeep = Upkeep(state, config, now_ms)
        self._state_watch = StateWatch(state, pager, config, now_ms)
        self._also: tuple[Round, ...] = ()
        self.unsealed_since_ms: int | None = None
        """Since when rows cannot be sealed in `_findings`; None while they can."""
        self._wakers: list[asyncio.Event] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def wake(self) -> None:
        """Look at the outbox now. May be called from any thread, after a consumption."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_all)

    def also(self, *rounds: Round) -> None:
        """Run these beside the delivery, each in a thread of its own. Call it before `run`."""
        self._also = (*self._also, *rounds)

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; then append what waits, try once what is due, and return."""
        self._loop = asyncio.get_running_loop()
        targets = self._config.all_targets()
        own = (self._measure, self._upkeep.step, self._state_watch.step, *self._also)
        # Threads of its own: a slow target must not take the threads that everything else uses.
        pool = ThreadPoolExecutor(len(targets) + len(own) + 1, thread_name_prefix="respond")
        append = self._append_round()
        sends = [self._target_round(target) for target in targets]
        try:
            await self._until(stop, pool, self._prepare)
            async with asyncio.TaskGroup() as group:
                for each in (append, *sends, *own):
                    group.create_task(self._repeat(stop, pool, each))
                group.create_task(self._wake_at(stop))
            await self._finish(pool, append, sends)
        finally:
            pool.shutdown(wait=False)

    async def _finish(self, pool: ThreadPoolExecutor, append: Round, sends: Sequence[Round]) -> None:
        await self._drain(pool, append)
        await self._once(pool, self._hurry)
        await asyncio.gather(*(self._drain(pool, send) for send in sends))

    async def _drain(self, pool: ThreadPoolExecutor, each: Round) -> None:
        while await self._once(pool, each) == 0:
            pass

    def drain_once(self) -> int:
        """Append everything that waits and try every page that is due once. Blocking, for commands
        that end. Returns how many rows and messages still wait."""
        append = self._append_round()
        while append() == 0:
            pass
        self._hurry()
        for target in self._config.all_targets():
            send = self._target_round(target)
            while send() == 0:
                pass
        waiting = self._outbox.waiting()
        return waiting.appends + waiting.pages

    def _prepare(self) -> float:
        self._pager.prepare()
        self._outbox.reroute(self._now_ms())
        return 0.0

    def _hurry(self) -> float:
        """At the end nothing waits to be told together with what may come."""
        self._outbox.hurry(self._now_ms())
        return 0.0

    def hindrance(self) -> str | None:
        """Why a page might not arrive, in plain words; None where pages do."""
        long_ago_ms = self._now_ms() - int(self._config.dead_man_after_s * 1000)
        for target in self._config.all_targets():
            since_ms = self._outbox.health(target.name).failing_since_ms
            if since_ms is not None and since_ms < long_ago_ms:
                return f"target {target.name} takes no pages"
        return None

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
                self.unsealed_since_ms = self.unsealed_since_ms or self._now_ms()
                _log.warning("findings_not_sealed", rows=len(rows), kind=type(error).__name__)
                return backoff_ms("_findings", failures, self._config) / 1000
            failures, self.unsealed_since_ms = 0, None
            self._outbox.appended([seq for seq, _ in rows])
            self.wake()
            return 0.0

        return append_one_batch

    def _target_round(self, target: Target) -> Round:
        """A round sends what is due to one target, one message after the other."""
        return self._sender.round_of(target)

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
