"""Erase entries against the orders in `_control` that they name: who erased what, when and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from pipeline.audit.arrow import pa, pc, pq
from pipeline.audit.store import CONTROL, Store
from pipeline.audit.verify.erased import Count
from pipeline.audit.verify.log_state import LiveSegment, LogState
from pipeline.audit.verify.report import Fault, Judgement, Note, Verdict, utc
from pipeline.errors import StoreError
from schemas.erasure import Erasure

VERDICT: Verdict = "erasures accounted for"
CLOCKS_APART_MS = 60_000
"""Hosts' clocks may differ by this much before an intent counts as written after its erasure."""
SHOWN_ERASURES = 20
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    NotImplementedError,
    pa.ArrowException,
    StoreError,
)


@dataclass
class Order:
    """What `_control` holds of one erasure."""

    intent: Erasure | None = None
    completion: Erasure | None = None


@dataclass
class Orders:
    """Every erasure that `_control` knows, by its id."""

    by_id: dict[str, Order] = field(default_factory=dict[str, Order])
    malformed: list[int] = field(default_factory=list[int])
    """Offsets of rows of kind `erasure` that say nothing of one."""


def read_orders(store: Store, control: LogState | None) -> Orders:
    """The erasures in the live segments of `_control`. Files that cannot be read are for the row checks."""
    orders = Orders()
    live = control.live.values() if control else ()
    for segment in sorted(live, key=lambda one: one.ref.start):
        try:
            rows = list(_erasure_rows(store, segment))
        except _UNREADABLE:
            continue
        for offset, meta in rows:
            _add(orders, offset, meta)
    return orders


def _erasure_rows(store: Store, segment: LiveSegment) -> Iterator[tuple[int, str]]:
    content = store.read_segment(CONTROL, 0, segment.ref.name)
    table = pq.ParquetFile(pa.BufferReader(content)).read(columns=["offset", "kind", "meta"])
    table = table.filter(pc.and_(pc.equal(table["kind"], "erasure"), pc.is_valid(table["meta"])))
    return zip(table["offset"].to_pylist(), table["meta"].to_pylist(), strict=True)


def _add(orders: Orders, offset: int, meta: str) -> None:
    try:
        row = msgspec.json.decode(meta, type=Erasure)
    except msgspec.MsgspecError:
        orders.malformed.append(offset)
        return
    order = orders.by_id.setdefault(row.erasure, Order())
    if row.phase == "intent":
        order.intent = order.intent or row
    else:
        order.completion = row


def check_erasures(
    judgement: Judgement, states: Sequence[LogState], orders: Orders, counts: Mapping[str, Count]
) -> None:
    """Judge every erase entry by its order, and say what was erased. `counts` has what each erasure took of
    the rows that were read."""
    judgement.add(
        Fault(
            verdict=VERDICT, topic_id=CONTROL, partition=0, offset=offset, item=0, how="is no erasure's row"
        )
        for offset in orders.malformed
    )
    named: dict[str, int] = {}
    for state in states:
        for entry in state.erased:
            named[entry.erasure] = max(named.get(entry.erasure, 0), entry.at_ms)
            how = _fault_of(orders.by_id.get(entry.erasure, Order()).intent, entry.at_ms, bool(entry.rows))
            if how:
                judgement.add([_fault(state, entry.entry, f"erasure {entry.erasure[:8]}: {how}")])
    _describe(judgement, orders, named, counts)


def _fault(state: LogState, entry: int, how: str) -> Fault:
    return Fault(verdict=VERDICT, topic_id=state.topic_id, partition=state.partition, entry=entry, how=how)


def _fault_of(intent: Erasure | None, at_ms: int, took_rows: bool) -> str | None:
    if intent is None:
        return "no intent in _control orders it"
    if intent.at_ms > at_ms + CLOCKS_APART_MS:
        return "its intent in _control is younger than itself"
    if took_rows and intent.what == "payload":
        return "it took whole rows, and its intent names payloads alone"
    return None


def _describe(
    judgement: Judgement, orders: Orders, named: Mapping[str, int], counts: Mapping[str, Count]
) -> None:
    total = Count()
    for count in counts.values():
        total = total.plus(count)
    if named:
        what = f"{_counted(total.rows, 'row')} and {_counted(total.payloads, 'payload')}"
        judgement.detail(VERDICT, f"{what} erased by {_counted(len(named), 'erasure')}")
    newest_first = sorted(named, key=lambda erasure: -named[erasure])
    for erasure in newest_first[:SHOWN_ERASURES]:
        order, count = orders.by_id.get(erasure, Order()), counts.get(erasure, Count())
        judgement.detail(VERDICT, _line(erasure, order, named[erasure], count))
    if len(named) > SHOWN_ERASURES:
        judgement.detail(VERDICT, f"… and {len(named) - SHOWN_ERASURES} earlier erasures")
    for erasure, order in orders.by_id.items():
        if order.intent is not None and order.completion is None and erasure not in named:
            what = f"erasure {erasure[:8]} by {order.intent.by} is under way since {utc(order.intent.at_ms)}"
            judgement.notes.append(Note(topic_id=CONTROL, partition=0, what=what))


def _line(erasure: str, order: Order, at_ms: int, count: Count) -> str:
    intent, completion = order.intent, order.completion
    by = f" by {intent.by} on {utc(intent.at_ms)} ({intent.reason})" if intent else ""
    took = f"{_counted(count.rows, 'row')}, {_counted(count.payloads, 'payload')}"
    done = f"completed {utc(completion.at_ms)}" if completion else f"under way, last at {utc(at_ms)}"
    return f"{erasure[:8]}{by}: {took}; {done}"


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}" + ("" if count == 1 else "s")
