"""An erasure from its intent to its completion; begun, and gone on with after a crash, by the same steps.

    intent → every partition: rewrite, entry → catalog → old files deleted → all other copies → completion

Each step finds by itself what is left to do. What was asked is nowhere in the store: whoever resumes an
erasure says it again, and it is compared with the hash that the intent holds.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import msgspec

from pipeline.audit.erase import orders
from pipeline.audit.erase.match import Matcher
from pipeline.audit.erase.orders import ControlRows
from pipeline.audit.erase.partition import PartitionEraser
from pipeline.audit.erase.reach import Copies, Reached
from pipeline.audit.erase.scope import Predicate
from pipeline.audit.erase.sieve import Count, RowChoice, Sieve
from pipeline.audit.erase.values import Needles
from pipeline.audit.store import CHECKPOINT, Store
from pipeline.clock import NowMs
from pipeline.errors import AuditfuseError, ConfigError, StoreError
from pipeline.keys import Keys
from schemas.erasure import Erasure, Scope
from schemas.log_entry import LogEntry

SALT_KEY = "erasure"
Phase = Literal["intent", "completion"]
Done = tuple[PartitionEraser, list[LogEntry]]
"""A partition, and the entries of the erasure in its log."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Who wants what erased, and why. `by` and `reason` are redacted already."""

    predicate: Predicate
    needles: Needles | None
    by: str
    reason: str
    automatic: bool = False
    unless: tuple[Scope, ...] = ()
    """Retention: scopes that more specific rules decide on."""
    choice: RowChoice | None = None
    """Thinning: which of the events in the scope lose their payload."""


@dataclass(kw_only=True)
class Outcome:
    """What an erasure would take (a survey) or took."""

    erasure: str | None = None
    salt: str | None = None
    """Hex: with what was asked, it shows that the erasure was for this."""
    counts: dict[tuple[str, int], Count] = field(default_factory=dict[tuple[str, int], Count])
    """What was taken now; of a resumed erasure, what was left to take."""
    rows: int = 0
    payloads: int = 0
    reached: Reached = field(default_factory=Reached)

    @property
    def total(self) -> Count:
        """Over all partitions."""
        total = Count()
        for count in self.counts.values():
            total.add(count)
        return total


class Eraser:
    """Performs erasures on one store and on the copies beside it."""

    def __init__(
        self, store: Store, keys: Keys, copies: Copies, *, now_ms: NowMs, grace_s: float = 0.0
    ) -> None:
        """`grace_s`: how long files that were replaced stay, so that running queries finish."""
        self._store = store
        self._keys = keys
        self._copies = copies
        self._now_ms = now_ms
        self._grace_s = grace_s

    def survey(self, request: Request) -> Outcome:
        """What would be erased, held and out of reach. Changes nothing."""
        sieve = self._sieve(request)
        outcome = Outcome()
        for eraser in self._partitions(""):
            outcome.counts[eraser.place] = eraser.survey(sieve)
        total = outcome.total
        outcome.rows, outcome.payloads = total.rows, total.payloads
        outcome.reached = self._copies.survey(request.predicate, request.needles)
        return outcome

    def execute(self, request: Request) -> Outcome:
        """Erase: order it in `_control`, do it, and say there that it is done."""
        erasure = secrets.token_hex(16)
        self._order(request, erasure)
        return self._finish(request, erasure, is_new=True)

    def resume(self, request: Request, erasure: str) -> Outcome:
        """Go on with an erasure that was begun. Raises ConfigError where it was for something else."""
        intent = self.intent(erasure)
        if intent.predicate_sha256 != self._digest(erasure, request.predicate):
            raise ConfigError(
                f"erasure {erasure} was ordered for something else: give the same --where, --value-file and "
                "--rows or --payload-only as then, and the same keys"
            )
        asked = replace(request, by=intent.by, reason=intent.reason, automatic=intent.automatic)
        return self._finish(asked, erasure, is_new=False)

    def intent(self, erasure: str) -> Erasure:
        """The intent of an erasure. Raises ConfigError where there is none."""
        phases = self._control().state.erasures.get(erasure, {})
        if "intent" not in phases:
            raise ConfigError(f"no erasure {erasure} was ordered in this store; see: auditfuse erase --list")
        return phases["intent"]

    def all(self) -> list[dict[str, Erasure]]:
        """Every erasure's rows by phase, in the order of their intents."""
        return [phases for phases in self._control().state.erasures.values() if "intent" in phases]

    def pending(self) -> list[Erasure]:
        """The intents without a completion."""
        return [phases["intent"] for phases in self.all() if "completion" not in phases]

    def salt(self, erasure: str) -> str:
        """The salt (hex) of the erasure's predicate hash."""
        return self._keys.hmac_hex(SALT_KEY, erasure.encode())

    def _finish(self, request: Request, erasure: str, *, is_new: bool) -> Outcome:
        try:
            return self._perform(request, erasure, is_new=is_new)
        except (AuditfuseError, OSError) as error:
            why = str(error) if isinstance(error, AuditfuseError) else error.strerror or type(error).__name__
            raise StoreError(
                f"erasure {erasure} is not complete: {why}. Then run: auditfuse erase --resume {erasure} "
                "with the same options"
            ) from None

    def _perform(self, request: Request, erasure: str, *, is_new: bool) -> Outcome:
        sieve = self._sieve(request)
        outcome = Outcome(erasure=erasure, salt=self.salt(erasure))
        done: list[Done] = []
        for eraser in self._partitions(erasure):
            after = eraser.next_n - 1 if is_new else -1
            outcome.counts[eraser.place] = eraser.erase(sieve)
            done.append((eraser, eraser.entries(after)))
        self._delete_replaced(outcome, done)
        outcome.reached.add(
            self._copies.erase(request.predicate, request.needles, automatic=request.automatic)
        )
        for eraser, entries in done:
            rows, payloads = eraser.count_erased(entries)
            outcome.rows, outcome.payloads = outcome.rows + rows, outcome.payloads + payloads
        named = outcome.total.left_in_meta
        if named:
            outcome.reached.missed(f"{named} rows name it in their metadata: payloads alone were asked for")
        self._complete(request, erasure, outcome)
        return outcome

    def _delete_replaced(self, outcome: Outcome, done: Sequence[Done]) -> None:
        if any(entries for _, entries in done):
            outcome.reached.add(self._copies.rebuild_catalog())
            time.sleep(self._grace_s)
        for eraser, entries in done:
            for kept in eraser.delete_replaced(entries):
                outcome.reached.missed(kept)

    def _order(self, request: Request, erasure: str) -> None:
        scope = request.predicate.scope if request.automatic else None
        row = self._row(request, erasure, "intent")
        orders.append(self._store, msgspec.structs.replace(row, scope=scope), self._now_ms)

    def _complete(self, request: Request, erasure: str, outcome: Outcome) -> None:
        total = outcome.total
        row = msgspec.structs.replace(
            self._row(request, erasure, "completion"),
            rows=outcome.rows,
            payloads=outcome.payloads,
            held_rows=total.held,
            in_force_rows=total.in_force,
            out_of_reach=list(outcome.reached.out_of_reach),
        )
        orders.append(self._store, row, self._now_ms)

    def _row(self, request: Request, erasure: str, phase: Phase) -> Erasure:
        return Erasure(
            id=f"{erasure}:{phase}",
            erasure=erasure,
            phase=phase,
            at_ms=self._now_ms(),
            by=orders.without_pseudonyms(request.by),
            reason=orders.without_pseudonyms(request.reason),
            what=request.predicate.what,
            automatic=request.automatic,
            predicate_sha256=self._digest(erasure, request.predicate),
        )

    def _digest(self, erasure: str, predicate: Predicate) -> str:
        return hashlib.sha256(bytes.fromhex(self.salt(erasure)) + msgspec.json.encode(predicate)).hexdigest()

    def _sieve(self, request: Request) -> Sieve:
        matcher = Matcher(request.predicate.scope, request.needles, unless=request.unless)
        by_value = request.needles is not None
        return Sieve(self._store, matcher, request.predicate.what, by_value=by_value, choice=request.choice)

    def _partitions(self, erasure: str) -> Iterator[PartitionEraser]:
        for topic_id, partition in self._store.partitions():
            if topic_id != CHECKPOINT:
                yield PartitionEraser(self._store, topic_id, partition, erasure=erasure, now_ms=self._now_ms)

    def _control(self) -> ControlRows:
        rows = ControlRows(self._store)
        rows.refresh()
        return rows
