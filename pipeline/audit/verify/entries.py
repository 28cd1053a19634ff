"""The log of one partition, read from its files and judged: numbering, links, the rules of each kind.

Written apart from the fold that the writers use, so that a mistake there shows here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from pipeline.audit.store import APPEND_PARTITIONS, SegmentName, Store
from pipeline.audit.verify.report import Fault, Note
from schemas.log_entry import ZERO_HASH, LogEntry, SegmentRef


@dataclass
class LiveSegment:
    """A segment that the log makes live, by the entry that published it."""

    ref: SegmentRef
    entry: int
    erasable: bool = False
    """Whether an erase entry stands in its history: only then may it hold erased rows."""


@dataclass
class LogState:
    """What the entries of one partition add up to."""

    topic_id: str
    partition: int
    entries: int = 0
    end: int = 0
    live: dict[str, LiveSegment] = field(default_factory=dict[str, LiveSegment])
    superseded: set[str] = field(default_factory=set[str])
    published: list[SegmentRef] = field(default_factory=list[SegmentRef])
    """Every sealed or appended segment, in order, compacted since or not: what the chain must pass."""
    gaps: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    skipped: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Offsets without rows that the writer passed by in an idle entry: legitimate."""
    epochs: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    """The latest claim of each role: (epoch, writer)."""
    halted: bool = False
    ids: set[str] = field(default_factory=set[str])
    torn: bool = False
    """An entry is missing or unreadable: rules that need it are not judged until an end is known again."""
    faults: list[Fault] = field(default_factory=list[Fault])
    notes: list[Note] = field(default_factory=list[Note])

    def fault(self, entry: int, how: str, segment: str | None = None) -> None:
        """Note a fault of an entry."""
        self.faults.append(
            Fault(
                verdict="log linked",
                topic_id=self.topic_id,
                partition=self.partition,
                entry=entry,
                segment=segment,
                how=how,
            )
        )

    def note(self, what: str) -> None:
        """Say something about the partition that is no fault."""
        self.notes.append(Note(topic_id=self.topic_id, partition=self.partition, what=what))


def read_log(store: Store, topic_id: str, partition: int) -> LogState:
    """Fold every entry of a partition's log, noting each fault once."""
    state = LogState(topic_id, partition)
    numbers = store.entry_numbers(topic_id, partition)
    names = {f"{n:012d}.json" for n in numbers}
    for stranger in set(store.objects.names(f"log/{topic_id}/{partition}")) - names:
        state.note(f"{stranger} in its log is no log entry")
    previous_hash: str | None = ZERO_HASH
    previous: tuple[int, LogEntry | None] | None = None
    for n in numbers:
        expected_n = 0 if previous is None else previous[0] + 1
        if n != expected_n:
            missing = (
                f"entry {expected_n} is" if n == expected_n + 1 else f"entries {expected_n} to {n - 1} are"
            )
            state.fault(expected_n, f"{missing} missing")
            state.torn, previous_hash = True, None
        content = store.read_entry(topic_id, partition, n) or b""
        entry = _decode(state, n, content)
        if entry is not None and previous_hash is not None and entry.prev != previous_hash:
            _unlinked(state, n, previous)
        if entry is not None:
            _apply(state, entry)
        else:
            state.torn = True
        previous_hash = hashlib.sha256(content).hexdigest()
        previous = (n, entry)
    state.entries = len(numbers)
    return state


def _decode(state: LogState, n: int, content: bytes) -> LogEntry | None:
    try:
        entry = msgspec.json.decode(content, type=LogEntry)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        state.fault(n, "not a log entry: its bytes are not JSON of the documented form")
        return None
    if msgspec.json.encode(entry) != content:
        state.fault(n, "not in canonical form: its bytes were changed after it was written")
    elif (entry.n, entry.topic_id, entry.partition) != (n, state.topic_id, state.partition):
        state.fault(
            n, f"says it is entry {entry.n} of {entry.topic_id}/{entry.partition}: moved or renumbered"
        )
    return entry


def _unlinked(state: LogState, n: int, previous: tuple[int, LogEntry | None] | None) -> None:
    """The hash that entry n carries is not that of the one before: the one before was changed."""
    at = n if previous is None else previous[0]
    if state.faults and state.faults[-1].entry in (at, n):
        return  # already known to be wrong: the broken link is the same fault
    how = (
        "the first entry names one before it: its log was cut at the head"
        if previous is None
        else (f"its bytes do not have the SHA-256 that entry {n} carries: edited, or put in another's place")
    )
    state.fault(at, how)
    state.torn = True


def _apply(state: LogState, entry: LogEntry) -> None:
    known = len(state.faults)
    match entry.kind:
        case "claim":
            _claim(state, entry)
        case "seal" | "append":
            _publish(state, entry)
        case "idle":
            _idle(state, entry)
        case "halt":
            _halt(state, entry)
        case "gap" | "resume":
            _go_on(state, entry)
        case "compact" | "erase":
            _rewrite(state, entry)
        case "batch":
            pass  # judged with the checkpoints: verify/checkpoints.py
    # An entry that was already reported (moved, edited) is not reported again for what follows from it.
    earlier = [f for f in state.faults[:known] if f.entry == entry.n]
    if earlier:
        del state.faults[known:]


def _claim(state: LogState, entry: LogEntry) -> None:
    role = entry.role or "writer"
    epoch = state.epochs.get(role, (0, ""))[0]
    if entry.epoch != epoch + 1 and not state.torn:
        state.fault(entry.n, f"claims epoch {entry.epoch} of role {role} where {epoch + 1} was next")
    state.epochs[role] = (entry.epoch, entry.writer)


def _writer_only(state: LogState, entry: LogEntry) -> None:
    role = "maintenance" if entry.kind in ("compact", "erase") else "writer"
    if not state.torn and state.epochs.get(role) != (entry.epoch, entry.writer):
        state.fault(entry.n, f"{entry.kind} by one who does not hold the latest {role} claim")


def _idle(state: LogState, entry: LogEntry) -> None:
    _writer_only(state, entry)
    if entry.end is None or entry.end < state.end:
        if not state.torn:
            state.fault(entry.n, f"idle at offset {entry.end}, before the log's end {state.end}")
        return
    if entry.end > state.end:
        state.skipped.append((state.end, entry.end))
    state.end = entry.end


def _halt(state: LogState, entry: LogEntry) -> None:
    _writer_only(state, entry)
    if entry.end != state.end and not state.torn:
        state.fault(entry.n, f"halts at offset {entry.end}, not at the log's end {state.end}")
    state.halted = True


def _publish(state: LogState, entry: LogEntry) -> None:
    if entry.segment is None:
        state.fault(entry.n, f"{entry.kind} names no segment")
        return
    ref = entry.segment
    if entry.kind == "seal":
        _writer_only(state, entry)
    else:
        _append_rules(state, entry)
    if state.halted:
        state.fault(entry.n, f"{entry.kind} while the partition was halted", ref.name)
    if ref.start != state.end and not state.torn:
        state.fault(entry.n, f"starts at offset {ref.start}, not at the log's end {state.end}", ref.name)
    if ref.end <= ref.start:
        state.fault(entry.n, f"ends at offset {ref.end}, not after its start {ref.start}", ref.name)
    _named_as_held(state, entry, ref)
    state.live[ref.name] = LiveSegment(ref, entry.n)
    state.published.append(ref)
    state.end = ref.end
    state.torn = False


def _append_rules(state: LogState, entry: LogEntry) -> None:
    if state.topic_id not in APPEND_PARTITIONS:
        state.fault(entry.n, "append in a partition that only its writer may seal")
    twice = state.ids.intersection(entry.ids)
    if twice or len(set(entry.ids)) != len(entry.ids):
        state.fault(entry.n, "appends an id that was appended before")
    state.ids.update(entry.ids)


def _go_on(state: LogState, entry: LogEntry) -> None:
    if not state.halted and not state.torn:
        state.fault(entry.n, f"{entry.kind} without a halt before it")
    state.halted = False
    if entry.kind == "gap" and entry.end is not None:
        if not entry.by or not entry.reason:
            state.fault(entry.n, "a gap accepted without a name or a reason")
        if entry.end <= state.end and not state.torn:
            state.fault(entry.n, f"a gap to offset {entry.end}, not above the log's end {state.end}")
        if state.end < entry.end:
            state.note(
                f"offsets {state.end} to {entry.end - 1} were given up by {entry.by} at "
                f"{datetime.fromtimestamp(entry.at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC: {entry.reason}"
            )
        state.gaps.append((state.end, entry.end))
        state.end = entry.end


def _rewrite(state: LogState, entry: LogEntry) -> None:
    _writer_only(state, entry)
    unknown = [name for name in entry.inputs if name not in state.live]
    if unknown and not state.torn:
        state.fault(entry.n, f"{entry.kind} of a segment that was not live", unknown[0])
    inputs = [state.live.pop(name) for name in entry.inputs if name in state.live]
    state.superseded.update(entry.inputs)
    if not unknown:
        _same_rows(state, entry, [i.ref for i in inputs])
    erasable = entry.kind == "erase" or any(i.erasable for i in inputs)
    for ref in entry.outputs:
        _named_as_held(state, entry, ref)
        state.live[ref.name] = LiveSegment(ref, entry.n, erasable)


def _same_rows(state: LogState, entry: LogEntry, inputs: list[SegmentRef]) -> None:
    """Rewriting changes no row's place: the same span, count and chain ends before and after."""
    if not inputs or not entry.outputs:
        state.fault(entry.n, f"{entry.kind} without inputs or without outputs")
        return
    before = sorted(inputs, key=lambda r: r.start)
    after = sorted(entry.outputs, key=lambda r: r.start)
    edges = [(r[0].start, r[-1].end, sum(x.rows for x in r), r[0].prev, r[-1].head) for r in (before, after)]
    if edges[0] != edges[1]:
        state.fault(entry.n, f"{entry.kind} that does not hold the same rows before and after")


def _named_as_held(state: LogState, entry: LogEntry, ref: SegmentRef) -> None:
    name = SegmentName.parse(ref.name)
    held = (ref.start, ref.end, entry.kind, ref.sha256[:16])
    if name is None or (name.start, name.end, name.kind, name.content) != held:
        state.fault(entry.n, "names a segment that is not called what it holds", ref.name)
