"""Attacks on segments as a whole, on log entries and on bundles."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
from support.audit import TOPIC_ID
from support.forger import Forger
from support.tamper import entry_paths, overwrite
from support.tamper_registry import plain, skilled
from support.trail import Trail

from pipeline.audit.store import CONTROL, FINDINGS
from schemas.log_entry import LogEntry, SegmentRef


@skilled
def segment_dropped(forger: Forger) -> None:
    """With its entry; the next one says that it begins earlier, as if there had been no rows."""
    gone = forger.live[TOPIC_ID, 0].pop(1)
    (forger.root / "segments" / TOPIC_ID / "0" / gone.file).unlink()
    log = forger.logs[TOPIC_ID, 0]
    log[:] = [entry for entry in log if entry.segment is None or entry.segment.start != gone.ref.start]
    after = forger.live[TOPIC_ID, 0][1].ref
    for segment in forger.live[TOPIC_ID, 0]:
        if segment.ref is after:
            segment.ref = _from(after, gone.ref.start)
    log[:] = [_entry_from(entry, after.start, gone.ref.start) for entry in log]


@plain
def entry_edited(trail: Trail) -> None:
    """How many rows a segment of `_control` has."""
    path = entry_paths(trail.root, CONTROL)[0]
    overwrite(path, path.read_bytes().replace(b'"rows":2', b'"rows":3'))


@plain
def time_of_one_entry_edited(trail: Trail) -> None:
    path = entry_paths(trail.root, CONTROL)[1]
    overwrite(path, path.read_bytes().replace(b'"at_ms":1', b'"at_ms":2'))


@plain
def entry_made_unreadable(trail: Trail) -> None:
    path = entry_paths(trail.root, CONTROL)[1]
    overwrite(path, path.read_bytes()[:-1] + b"]")


@plain
def one_entry_dropped(trail: Trail) -> None:
    entry_paths(trail.root, CONTROL)[1].unlink()


@plain
def first_entry_dropped(trail: Trail) -> None:
    entry_paths(trail.root, CONTROL)[0].unlink()


@plain
def entries_renumbered(trail: Trail) -> None:
    """Two exchange their numbers."""
    first, second = entry_paths(trail.root, CONTROL)[1:3]
    contents = first.read_bytes(), second.read_bytes()
    overwrite(first, contents[1])
    overwrite(second, contents[0])


@plain
def log_without_its_newest_entry(trail: Trail) -> None:
    entry_paths(trail.root)[-1].unlink()


@plain
def newest_entry_edited(trail: Trail) -> None:
    path = entry_paths(trail.root)[-1]
    overwrite(path, path.read_bytes().replace(b'"idle_until_ms":1', b'"idle_until_ms":2'))


@plain
def entry_inserted(trail: Trail) -> None:
    """A copy of the newest one, under the next number."""
    path = entry_paths(trail.root)[-1]
    path.with_name(f"{int(path.stem) + 1:012d}.json").write_bytes(path.read_bytes())


@skilled
def time_of_an_entry_edited(forger: Forger) -> None:
    log = forger.logs[TOPIC_ID, 0]
    log[-1] = msgspec.structs.replace(log[-1], at_ms=log[-1].at_ms - 1000)


@skilled
def entry_dropped(forger: Forger) -> None:
    """The idle entry: nothing rests on it."""
    log = forger.logs[TOPIC_ID, 0]
    log[:] = [entry for entry in log if entry.kind != "idle"]


@skilled
def entries_reordered(forger: Forger) -> None:
    """An order in `_control` is put before the trips."""
    log = forger.logs[TOPIC_ID, 0]
    at = next(n for n, entry in enumerate(log) if entry.role == "maintenance")
    log[at], log[at - 1] = log[at - 1], log[at]


@skilled
def gap_inserted(forger: Forger) -> None:
    """Offsets that were never given up."""
    log = forger.logs[TOPIC_ID, 0]
    last = log[-1]
    assert last.end is not None
    halt = LogEntry(
        n=0, prev="", kind="halt", topic_id=TOPIC_ID, partition=0, at_ms=last.at_ms, writer=last.writer,
        epoch=last.epoch, end=last.end, reason="not held",
    )  # fmt: skip
    gap = msgspec.structs.replace(halt, kind="gap", epoch=0, end=last.end + 7, reason="retention", by="ana")
    log += [halt, gap]


@plain
def bundle_edited(trail: Trail) -> None:
    """Of entries whose files are gone."""
    path = _bundles(trail)[0]
    overwrite(path, path.read_bytes().replace(b'"rows":10', b'"rows":11', 1))


@plain
def bundle_edited_beside_its_files(trail: Trail) -> None:
    path = _bundles(trail)[1]
    overwrite(path, path.read_bytes().replace(b'"at_ms":1', b'"at_ms":2', 1))


@plain
def bundle_cut(trail: Trail) -> None:
    path = _bundles(trail)[0]
    overwrite(path, b"\n".join(path.read_bytes().split(b"\n")[:-2]) + b"\n")


@plain
def bundle_dropped(trail: Trail) -> None:
    _bundles(trail)[0].unlink()


@plain
def log_of_findings_dropped(trail: Trail) -> None:
    """With its segments: as if there had never been a finding."""
    for kind in ("log", "segments"):
        shutil.rmtree(trail.root / kind / FINDINGS)


@skilled
def findings_dropped(forger: Forger) -> None:
    for kind in ("log", "segments"):
        shutil.rmtree(forger.root / kind / FINDINGS, ignore_errors=True)
    del forger.logs[FINDINGS, 0]


def _from(ref: SegmentRef, start: int) -> SegmentRef:
    name = ref.name.replace(f"{ref.start:020d}", f"{start:020d}", 1)
    return msgspec.structs.replace(ref, start=start, name=name)


def _entry_from(entry: LogEntry, start: int, earlier: int) -> LogEntry:
    """The entry with segments that begin at `start` beginning earlier."""
    segment = entry.segment
    if segment is not None and segment.start == start:
        segment = _from(segment, earlier)
    outputs = [_from(one, earlier) if one.start == start else one for one in entry.outputs]
    old, new = f"{start:020d}", f"{earlier:020d}"
    inputs = [new + name.removeprefix(old) if name.startswith(old) else name for name in entry.inputs]
    return msgspec.structs.replace(entry, segment=segment, outputs=outputs, inputs=inputs)


def _bundles(trail: Trail) -> list[Path]:
    return sorted((trail.root / "log" / TOPIC_ID / "0" / "bundles").glob("*.ndjson"))
