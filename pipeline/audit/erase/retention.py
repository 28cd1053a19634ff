"""Retention: what the rules say is due is erased as a person's request is, by `retention`, hour by hour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import structlog

from pipeline.audit.erase.config import RetentionRule
from pipeline.audit.erase.run import Eraser, Outcome, Request
from pipeline.audit.erase.scope import Predicate, scope_text
from pipeline.audit.store import FINDINGS
from pipeline.clock import NowMs
from pipeline.errors import AuditfuseError
from pipeline.repeated import Repeated
from schemas.erasure import Erased, Erasure, Scope

BY = "retention"
DAY_MS = 86_400_000

log = structlog.get_logger()


class Due(NamedTuple):
    """A rule's request as of now, and what it would take."""

    request: Request
    outcome: Outcome


class Retention:
    """Applies the rules to one store."""

    def __init__(self, eraser: Eraser, rules: Sequence[RetentionRule], *, now_ms: NowMs) -> None:
        self._eraser = eraser
        self._rules = rules
        self._now_ms = now_ms

    def plan(self) -> list[Due]:
        """Every rule with what is due by it. Changes nothing."""
        return [Due(request, self._eraser.survey(request)) for request in self._requests()]

    def apply(self) -> list[Outcome]:
        """Finish what an earlier pass began, then erase what is due. A rule by which nothing is due leaves no
        trace."""
        outcomes = [
            self._finish(intent)
            for intent in self._eraser.pending()
            if intent.automatic and intent.scope and intent.by == BY
        ]
        for request in self._requests():
            found = self._eraser.survey(request)
            if found.rows or found.payloads:
                outcomes.append(self._eraser.execute(request))
        return outcomes

    def waiting(self) -> list[Erasure]:
        """Erasures that a person ordered and has to finish, saying again what was asked."""
        return [intent for intent in self._eraser.pending() if not intent.automatic]

    def _finish(self, intent: Erasure) -> Outcome:
        """A rule that is no longer there erases no further row; what it replaced is still deleted."""
        scope = intent.scope or Scope()
        rule = next((r for r in self._rules if _scope(r, scope.stored_before_ms) == scope), None)
        request = self._request(rule, intent.what, scope) if rule else nothing_more(intent.what, scope, BY)
        return self._eraser.resume(request, intent.erasure)

    def _requests(self) -> Iterator[Request]:
        now_ms = self._now_ms()
        for rule in sorted(self._rules, key=lambda one: one.rank, reverse=True):
            limits: dict[Erased, float | None] = {"row": rule.days, "payload": rule.payload_days}
            for what, days in limits.items():
                if days is not None:
                    yield self._request(rule, what, _scope(rule, now_ms - int(days * DAY_MS)))

    def _request(self, rule: RetentionRule, what: Erased, scope: Scope) -> Request:
        limit = "days" if what == "row" else "payload_days"
        finer = [r for r in self._rules if r.rank > rule.rank and getattr(r, limit) is not None]
        unless = [_scope(other, None) for other in finer]
        if rule.topic is None:
            unless.append(Scope(topic=FINDINGS))
        days = getattr(rule, limit)
        return Request(
            predicate=Predicate(scope=scope, what=what),
            needles=None,
            by=BY,
            reason=f"{limit} = {days:g} for {scope_text(_scope(rule, None))}",
            automatic=True,
            unless=tuple(unless),
        )


def _scope(rule: RetentionRule, stored_before_ms: int | None) -> Scope:
    return Scope(
        topic=rule.topic, environment=rule.environment, agent=rule.agent, stored_before_ms=stored_before_ms
    )


def nothing_more(what: Erased, scope: Scope, by: str) -> Request:
    """What finishes an erasure by a rule without taking a further row."""
    return Request(
        predicate=Predicate(scope=scope, what=what),
        needles=None,
        by=by,
        reason="",
        automatic=True,
        unless=(scope,),
    )


class RetentionRunner(Repeated):
    """Applies the rules at the start and then at the configured interval. What a stop leaves half done, the
    next pass finishes."""

    def __init__(self, retention: Retention, interval_s: float) -> None:
        super().__init__("retention", interval_s, at_start=True)
        self._retention = retention

    def work(self) -> None:
        """Tell of erasures that are not complete, and apply the rules once."""
        try:
            for intent in self._retention.waiting():
                command = f"auditfuse erase --resume {intent.erasure}"
                log.warning("an erasure is not complete", by=intent.by, way_out=command)
            for outcome in self._retention.apply():
                log.info("retention", erasure=outcome.erasure, rows=outcome.rows, payloads=outcome.payloads)
        except (AuditfuseError, OSError) as error:
            reason = str(error) if isinstance(error, AuditfuseError) else type(error).__name__
            log.error("retention failed, will be tried again", reason=reason)
