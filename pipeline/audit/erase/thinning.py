"""Thinning: routine payloads go after some hours, whole traces at a time, by the machinery of erasures.

    slices of broker time → every row of their traces judged → one erasure a slice, payloads alone

A slice that is done is not looked at again, but for the rows that were too young in it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.audit.erase.kept import Holds
from pipeline.audit.erase.retention import nothing_more
from pipeline.audit.erase.run import Eraser, Outcome, Request
from pipeline.audit.erase.scope import Predicate
from pipeline.audit.erase.thin_config import ThinningConfig, ThinningRule
from pipeline.audit.erase.thin_explain import Explained, explain
from pipeline.audit.erase.thin_incidents import Incidents, findings_with_incidents
from pipeline.audit.erase.thin_progress import Progress
from pipeline.audit.erase.thin_rows import HASH_KEY, ROUTINE, Rules, reason_text
from pipeline.audit.erase.thin_traces import Judge, PartitionKey, Routine, Slice, Times, Traces
from pipeline.audit.store import FINDINGS, Store
from pipeline.clock import NowMs
from pipeline.keys import Keys
from pipeline.respond.state import StateDatabase
from schemas.erasure import Scope

BY = "thinning"
HOUR_MS = 3_600_000
SLICE_ROWS = 5_000_000
"""A slice of time has about so many rows, which bounds memory."""
_NAMED_RULES = 5


@dataclass
class Thinned:
    """What a pass took, or would take."""

    payloads: int = 0
    payload_bytes: int = 0
    """Of text, before compression."""
    traces: int = 0
    """Of each slice of time; one that lies in two is counted in both."""
    kept: Counter[str] = field(default_factory=Counter[str])
    """Rows that were looked at and stay, by the reason for which their trace does."""
    erasures: list[str] = field(default_factory=list[str])
    out_of_reach: list[str] = field(default_factory=list[str])

    def add(self, routine: Routine, outcome: Outcome) -> None:
        """Add one slice."""
        total = outcome.total
        self.payloads += total.payloads
        self.payload_bytes += total.payload_bytes
        self.traces += routine.traces
        self.kept.update(
            {reason_text(number): rows for number, rows in routine.counts.items() if number != ROUTINE}
        )
        self.erasures += [outcome.erasure] if outcome.erasure else []
        self.out_of_reach += [one for one in outcome.reached.out_of_reach if one not in self.out_of_reach]


OnSlice = Callable[[Slice, int, Thinned], None]
"""Called after each slice with it, the limit of the pass (broker time, ms) and what was done so far."""


def _ignore(part: Slice, limit_ms: int, done: Thinned) -> None:
    del part, limit_ms, done


class Thinning:
    """Applies the rules of `[thinning]` to one store."""

    def __init__(
        self,
        store: Store,
        eraser: Eraser,
        config: ThinningConfig,
        keys: Keys,
        state: StateDatabase,
        *,
        now_ms: NowMs,
    ) -> None:
        self._store = store
        self._eraser = eraser
        self._config = config
        self._key = keys.get(HASH_KEY)
        self._state = state
        self._now_ms = now_ms
        self._times: Times = {}
        self._progress = Progress(store.cache_dir / "thinning.json", self._digest())

    def plan(self, on_slice: OnSlice = _ignore) -> Thinned:
        """What is due now and would go. Changes nothing. Raises StateUnavailable."""
        return self._each(self._eraser.survey, on_slice, is_plan=True)

    def apply(self, on_slice: OnSlice = _ignore) -> Thinned:
        """Finish what an earlier pass began, then thin what is due; where nothing is, no trace is left."""
        for intent in self._eraser.pending():
            if intent.automatic and intent.by == BY:
                scope = intent.scope or Scope()
                self._eraser.resume(nothing_more(intent.what, scope, BY), intent.erasure)
        return self._each(self._erased, on_slice, is_plan=False)

    def explain(self, trace_id: str) -> Explained | None:
        """Why a trace is kept, row by row; None where no event of it is sealed. Raises StateUnavailable."""
        return explain(self._store, self.judge(), trace_id)

    def judge(self) -> Judge:
        """What decides of rows now. Raises StateUnavailable."""
        holds = Holds(self._store)
        holds.refresh()
        # The ends before the findings: what was found in the rows below them is known then.
        seen = consumed_ends(self._state)
        incidents = Incidents(findings_with_incidents(self._store, self._state))
        return Judge(Rules(self._config.rules), incidents, holds, seen, key=self._key, now_ms=self._now_ms())

    def _each(self, do: Callable[[Request], Outcome], on_slice: OnSlice, *, is_plan: bool) -> Thinned:
        done = Thinned()
        if not self._config.rules:
            return done
        judge = self.judge()
        traces = Traces(self._store, judge, self._times, int(self._config.trace_hours * HOUR_MS))
        limit_ms = self._now_ms() - int(min(rule.after_hours for rule in self._config.rules) * HOUR_MS)
        segments = traces.segments()
        held = judge.holds_in_force
        from_ms, open_ms = self._progress.from_ms(held), limit_ms
        for part in _slices(segments, from_ms, limit_ms):
            routine, young_ms = traces.routine(part)
            open_ms = min(open_ms, limit_ms if young_ms is None else young_ms)
            done.add(routine, do(self._request(part, routine)) if routine.traces else Outcome())
            if not is_plan:
                self._progress.save(min(open_ms, part.before_ms), held)
            on_slice(part, limit_ms, done)
        return done

    def _erased(self, request: Request) -> Outcome:
        found = self._eraser.survey(request)
        return self._eraser.execute(request) if found.payloads else Outcome()

    def _request(self, part: Slice, routine: Routine) -> Request:
        scope = Scope(stored_from_ms=part.from_ms, stored_before_ms=part.before_ms)
        return Request(
            predicate=Predicate(scope=scope, what="payload"),
            needles=None,
            by=BY,
            reason="payloads of routine traces, by " + _words(self._config.rules),
            automatic=True,
            unless=(Scope(topic=FINDINGS),),
            choice=routine,
        )

    def _digest(self) -> str:
        """Of all that decides but time: with other rules or another key everything is looked at anew."""
        rules = self._config.model_dump_json(include={"rules", "trace_hours"}).encode()
        return hashlib.sha256(self._key + rules).hexdigest()


def consumed_ends(state: StateDatabase) -> Mapping[PartitionKey, int]:
    """Up to where every shard of detection has seen each partition."""
    ends: dict[PartitionKey, int] = {}
    if state.schema_version() is None:
        return ends  # detection has never run here
    shards = [state.sealed_ends(shard) for shard in state.shards()]
    for key in {key for seen in shards for key in seen}:
        ends[key] = min(seen.get(key, 0) for seen in shards)
    return ends


def _slices(segments: Sequence[tuple[int, int, int]], from_ms: int, limit_ms: int) -> Iterator[Slice]:
    """Spans of broker time up to the limit with about SLICE_ROWS each; `segments` are in the order of their
    last rows."""
    rows, begin_ms = 0, from_ms
    due = [one for one in segments if one[1] >= from_ms and one[0] < limit_ms]
    for _, last_ms, held in due:
        rows += held
        end_ms = min(last_ms + 1, limit_ms)
        if rows >= SLICE_ROWS and end_ms > begin_ms:
            yield Slice(begin_ms, end_ms)
            rows, begin_ms = 0, end_ms
    if due and begin_ms < limit_ms:
        yield Slice(begin_ms, limit_ms)


def _words(rules: Sequence[ThinningRule]) -> str:
    told = [f"keep = {rule.keep:g} after {rule.after_hours:g} h{_fits(rule)}" for rule in rules]
    more = [f"{len(told) - _NAMED_RULES} further rules"] if len(told) > _NAMED_RULES else []
    return "; ".join(told[:_NAMED_RULES] + more)


def _fits(rule: ThinningRule) -> str:
    names = ("environment", "agent", "source", "action_kind")
    told = [f"{name}={value}" for name in names if (value := getattr(rule, name)) is not None]
    return " for " + " ".join(told) if told else ""
