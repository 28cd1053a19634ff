"""The log of one partition judged: numbering, links, the rules of each kind of entry.

Written apart from the fold that the writers use, so that a mistake there shows here.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from pipeline.audit import chain
from pipeline.audit.store import APPEND_PARTITIONS, CONTROL, FINDINGS, SegmentName, Store
from pipeline.audit.verify.log_files import LogFiles
from pipeline.audit.verify.log_state import Erased, LiveSegment, LogState
from pipeline.audit.verify.report import utc
from pipeline.audit.verify.tree import root_of
from schemas.log_entry import ZERO_HASH, LogEntry, SegmentRef

_HEX_HASH = re.compile(r"[0-9a-f]{64}")


def read_log(store: Store, topic_id: str, partition: int) -> LogState:
    """Fold every entry of a partition's log, noting each fault once.

    Memory: about 130 bytes an original segment and 100 a range that was erased, and what is live.
    """
    state = LogState(topic_id, partition, head=chain.first_prev(topic_id, partition).hex())
    state.present = set(store.segment_names(topic_id, partition))
    files = LogFiles(store, topic_id, partition)
    previous_hash: str | None = ZERO_HASH
    previous: tuple[int, LogEntry | None] | None = None
    for n, content in files.contents():
        expected_n = 0 if previous is None else previous[0] + 1
        if n != expected_n:
            _missing(state, expected_n, n)
            previous_hash = None
        entry = _decode(state, n, content)
        if entry is not None and previous_hash is not None and entry.prev != previous_hash:
            _unlinked(state, n, previous)
        if entry is not None:
            _apply(state, entry)
        else:
            state.torn = True
        state.entries += 1
        previous_hash = hashlib.sha256(content).hexdigest()
        previous = (n, entry)
    for n, how in files.faults:
        state.fault(n, how)
    for name in files.strangers:
        state.note(f"{name} in its log is no log entry")
    return state


def _missing(state: LogState, first: int, n: int) -> None:
    named = f"entry {first} is" if n == first + 1 else f"entries {first} to {n - 1} are"
    state.fault(first, f"{named} missing")
    state.torn = True


def _decode(state: LogState, n: int, content: bytes) -> LogEntry | None:
    try:
        entry = _DECODER.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        state.fault(n, "not a log entry: its bytes are not JSON of the documented form")
        return None
    if _ENCODER.encode(entry) != content:
        state.fault(n, "not in canonical form: its bytes were changed after it was written")
    elif (entry.n, entry.topic_id, entry.partition) != (n, state.topic_id, state.partition):
        state.fault(
            n, f"says it is entry {entry.n} of {entry.topic_id}/{entry.partition}: moved or renumbered"
        )
    refs = entry.outputs if entry.segment is None else [entry.segment, *entry.outputs]
    if not all(_is_hash(ref.prev) and _is_hash(ref.head) and _is_hash(ref.merkle_root) for ref in refs):
        state.fault(n, "names a chain end or a root that is no SHA-256")
        return None
    return entry


def _is_hash(text: str) -> bool:
    return _HEX_HASH.fullmatch(text) is not None


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
    if entry.role is None:
        state.fault(entry.n, "claims no role")
    if role == "writer" and state.topic_id in (CONTROL, FINDINGS):
        state.fault(entry.n, "claims a partition that anyone may append to")
    if entry.epoch != epoch + 1 and not state.torn:
        state.fault(entry.n, f"claims epoch {entry.epoch} of role {role} where {epoch + 1} was next")
    state.epochs[role] = (entry.epoch, entry.writer)


def _writer_only(state: LogState, entry: LogEntry) -> None:
    role = "maintenance" if entry.kind in ("compact", "erase") else "writer"
    if not state.torn and state.epochs.get(role) != (entry.epoch, entry.writer):
        state.fault(entry.n, f"{entry.kind} by one who does not hold the latest {role} claim")


def _idle(state: LogState, entry: LogEntry) -> None:
    _writer_only(state, entry)
    if state.halted:
        state.fault(entry.n, "idle while the partition was halted")
    if entry.end is None or entry.end < state.end:
        if not state.torn:
            state.fault(entry.n, f"idle at offset {entry.end}, before the log's end {state.end}")
        return
    if entry.end > state.end:
        _pass(state, entry.end)
    state.end = entry.end


def _pass(state: LogState, end: int) -> None:
    """Offsets without rows; those that idle entries pass one after another are one gap."""
    if state.passed and state.passed[-1][1] == state.end:
        state.passed[-1] = (state.passed[-1][0], end)
    else:
        state.passed.append((state.end, end))


def _halt(state: LogState, entry: LogEntry) -> None:
    _writer_only(state, entry)
    if entry.end != state.end and not state.torn:
        state.fault(entry.n, f"halts at offset {entry.end}, not at the log's end {state.end}")
    if not entry.reason:
        state.fault(entry.n, "halts without a reason")
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
    if ref.end <= ref.start or ref.rows < 1:
        state.fault(entry.n, f"has no offsets or no rows: [{ref.start}, {ref.end}), {ref.rows}", ref.name)
    if ref.prev != state.head and not state.torn:
        state.fault(entry.n, "does not chain onto the last row of the log before it", ref.name)
    _named_as_held(state, entry, ref)
    state.live[ref.name] = LiveSegment(ref, entry.n, entry.at_ms)
    state.originals.add(ref)
    state.end, state.head = ref.end, ref.head
    state.torn = False


def _append_rules(state: LogState, entry: LogEntry) -> None:
    if state.topic_id not in APPEND_PARTITIONS:
        state.fault(entry.n, "append in a partition that only its writer may seal")
    if entry.segment is not None and entry.segment.rows != len(entry.ids):
        state.fault(entry.n, f"names {len(entry.ids)} ids for {entry.segment.rows} rows")
    twice = state.ids.intersection(entry.ids)
    if twice or len(set(entry.ids)) != len(entry.ids):
        state.fault(entry.n, "appends an id that was appended before")
    state.ids.update(entry.ids)


def _go_on(state: LogState, entry: LogEntry) -> None:
    if not state.halted and not state.torn:
        state.fault(entry.n, f"{entry.kind} without a halt before it")
    state.halted = False
    if not entry.by or not entry.reason:
        state.fault(entry.n, f"{entry.kind} without a name or a reason")
    if entry.kind == "gap" and entry.end is not None:
        if entry.end <= state.end and not state.torn:
            state.fault(entry.n, f"a gap to offset {entry.end}, not above the log's end {state.end}")
        if state.end < entry.end:
            state.accepted.append(
                f"{state.topic_id}/{state.partition}: offsets {state.end} to {entry.end - 1} were given up "
                f"by {entry.by} at {utc(entry.at_ms)}: {entry.reason}"
            )
            state.passed.append((state.end, entry.end))
        state.end = entry.end


def _rewrite(state: LogState, entry: LogEntry) -> None:
    _writer_only(state, entry)
    unknown = [name for name in entry.inputs if name not in state.live]
    if unknown and not state.torn:
        state.fault(entry.n, f"{entry.kind} of a segment that was not live", unknown[0])
    inputs = [state.live.pop(name) for name in entry.inputs if name in state.live]
    state.present.difference_update(entry.inputs)
    if not unknown:
        _same_rows(state, entry, [i.ref for i in inputs])
    at_ms = max((i.at_ms for i in inputs), default=entry.at_ms)
    for ref in entry.outputs:
        _named_as_held(state, entry, ref)
        state.live[ref.name] = LiveSegment(ref, entry.n, at_ms)
    if entry.kind == "erase":
        _erase(state, entry)


def _erase(state: LogState, entry: LogEntry) -> None:
    if entry.erasure is None or not (entry.erased_rows or entry.erased_payloads):
        state.fault(entry.n, "erase that names no erasure, or nothing that it erased")
        return
    start = min((ref.start for ref in entry.outputs), default=0)
    end = max((ref.end for ref in entry.outputs), default=0)
    for span in (*entry.erased_rows, *entry.erased_payloads):
        first, last = (span.first_offset, span.first_item), (span.last_offset, span.last_item)
        if not start <= span.first_offset <= span.last_offset < end or first > last or min(first + last) < 0:
            state.fault(entry.n, f"erases from {first} to {last}, which is not within what it replaced")
            return
    state.erased.append(
        Erased(entry.n, entry.at_ms, entry.erasure, start, end, entry.erased_rows, entry.erased_payloads)
    )


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
    roots = [[bytes.fromhex(ref.merkle_root) for ref in refs] for refs in (before, after)]
    expected = [root_of(roots[0])] if entry.kind == "compact" else roots[0]
    if roots[1] != expected:
        state.fault(entry.n, f"{entry.kind} whose Merkle root is not made of those that it replaced")


def _named_as_held(state: LogState, entry: LogEntry, ref: SegmentRef) -> None:
    name = SegmentName.parse(ref.name)
    epoch = 0 if entry.kind == "append" else entry.epoch
    held = (ref.start, ref.end, epoch, entry.kind, ref.sha256[:16])
    if name is None or tuple(name) != held:
        state.fault(entry.n, "names a segment that is not called what it holds", ref.name)


_DECODER = msgspec.json.Decoder(LogEntry)
_ENCODER = msgspec.json.Encoder()
