"""Sends what is due to a target: plans, renders, sends and records, one message after the other."""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from pipeline import metrics
from pipeline.clock import NowMs
from pipeline.errors import AuditfuseError
from pipeline.respond.companion import Companion, Extras
from pipeline.respond.config import RespondConfig
from pipeline.respond.messages import Content, Outbox
from pipeline.respond.page import Page, render
from pipeline.respond.pager import Pager, Sent
from pipeline.respond.plan import Message, Plan, plan_round, probe
from pipeline.respond.targets import Target

SwitchState = Callable[[str, str], str | None]
"""The kill-switch state of (environment, agent) in words."""
Round = Callable[[], float]
"""One round of a part of the delivery; returns the seconds until the next."""
POLL_S = 0.25
SETTLE_S = 0.05
_log = structlog.get_logger("auditfuse.respond")


class Attempt(NamedTuple):
    """A message that was sent, or was tried to be, and how that went."""

    message: Message
    sent: Sent
    at_ms: int
    elapsed_ms: int


class Sender:
    """What the rounds of all targets share. A target's own round is run by one thread at a time."""

    def __init__(
        self,
        outbox: Outbox,
        pager: Pager,
        config: RespondConfig,
        now_ms: NowMs,
        *,
        switch_state: SwitchState | None,
        companion: Companion | None,
    ) -> None:
        self._outbox = outbox
        self._pager = pager
        self._config = config
        self._now_ms = now_ms
        self._switch_state = switch_state
        self._companion = companion

    def round_of(self, target: Target) -> Round:
        """A round sends what is due to one target, one message after the other."""

        unrecorded: list[Attempt] = []

        def send_what_is_due() -> float:
            # What was sent and could not be marked (a locked database) is marked before anything else
            # is sent: not once a second again until the lock is gone.
            while unrecorded:
                self._record(unrecorded[0])
                unrecorded.pop(0)
            now_ms = self._now_ms()
            health = self._outbox.health(target.name)
            pause_ms = health.next_attempt_at_ms - now_ms
            if pause_ms > 0:
                return min(pause_ms / 1000, 1.0)
            # Asked first: what is sealed in between must not make half a storm look whole.
            is_whole = not self._outbox.awaits_append(target.name, now_ms)
            due = self._outbox.due(target.name, now_ms)
            if not due:
                return POLL_S
            planned = self._plan(target, due, health.failures, now_ms)
            if planned.together:
                self._outbox.bundle(target.name, planned.together, now_ms, one_agent=True)
                return 0.0
            if (planned.bundled or planned.is_storm) and not is_whole and self._is_fresh(due, now_ms):
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
            is_back = health.failures > 0 and planned.single
            return 0.0 if planned.bundled or is_back else POLL_S

        return send_what_is_due

    def _plan(self, target: Target, due: Sequence[Message], failures: int, now_ms: int) -> Plan:
        lately = self._outbox.lately(target.name, now_ms)
        single = probe(due) if failures and target.per_minute > lately.in_minute else []
        if single:
            # One message tries it. What waited is put together once it is known that it can be told.
            return Plan(single=single, bundled=[])
        wait_ms = int(self._config.storm_wait_s * 1000)
        return plan_round(due, lately, target.per_minute, wait_ms, now_ms)

    def _is_fresh(self, due: Sequence[Message], now_ms: int) -> bool:
        """Whether nothing that is due has waited for longer than a page waits for its finding."""
        return now_ms - min(message.created_at_ms for message in due) < self._config.append_wait_s * 1000

    def _attempt(self, message: Message) -> Attempt:
        page = self._page(message, self._outbox.content(message))
        started_s = time.monotonic()
        sent = self._pager.send(message.target, page)
        elapsed_ms = int((time.monotonic() - started_s) * 1000)
        _tell(message, sent, elapsed_ms)
        now_ms = self._now_ms()
        if sent.outcome == "sent":
            metrics.page_seconds.observe(max(0, now_ms - message.created_at_ms) / 1000)
        return Attempt(message, sent, now_ms, elapsed_ms)

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
        extras = self._companion.extras(incident, lead, message) if self._companion else Extras()
        return render(
            incident,
            lead.finding,
            lead.evidence,
            switch_state,
            page_id=message.page_id,
            change=message.change,
            trip=content.trip,
            late=lead.late,
            insight=extras.insight,
            link=extras.link,
            runbook_url=self._config.runbook_url,
            plot=extras.plot,
        )


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
