"""The fault matrix: every fault at every durable call of every operation that writes the store.

The calls of an operation are recorded, not listed: what is written anew is failed anew. `make fault-matrix`
runs all of it (fault_table.py); the tests run a sample that has every operation, every kind of call and every
fault.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from support.disk import FAULTS, TAKES_SPACE, Call, Disk, Fault, Killed
from support.fault_operations import Operation
from support.stage import HOUR_MS, Stage

from pipeline import durable
from pipeline.audit.log import PartitionLog
from pipeline.audit.segment import open_parquet
from pipeline.audit.store import Store
from pipeline.audit.verify import Wanted, verify_store

ATTEMPTS = 3
CHILD = Path(__file__).with_name("fault_child.py")
UNKNOWN = "somewhere unknown"
COUNTED_ONCE = ("seal", "append", "halt", "gap", "resume", "erase")
"""Entries of these kinds are there as often as after a run without faults."""


class Case(NamedTuple):
    """One fault at one call of an operation."""

    operation: Operation
    fault: Fault
    at: int
    call: Call

    def __str__(self) -> str:
        return f"{self.operation.name}: {self.fault} at call {self.at}, {self.call.name} {self.call.place}"


class Content(NamedTuple):
    """All that an operation and what follows it leave behind."""

    rows: list[tuple[Any, ...]]
    """Topic id, partition, offset, item, kind, and what depends on no clock."""
    entries: dict[str, int]
    """Entries by kind, of those that must be there once."""


class Killer:
    """A process that does operations in children, which kill themselves."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(CHILD.parents[1]), str(CHILD.parents[2])])
        self._process = subprocess.Popen(
            [sys.executable, str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    def run(self, case: Case, folder: Path) -> int:
        """How the child ended: an exit status, or minus a signal."""
        assert self._process.stdin is not None and self._process.stdout is not None
        request = {
            "operation": case.operation.name,
            "folder": str(folder),
            "fault": case.fault,
            "at": case.at,
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline() or "1")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(30)


class Prepared:
    """An operation, its folder before it, its calls, and what it leaves without a fault."""

    def __init__(self, operation: Operation, folder: Path) -> None:
        self.operation = operation
        self._template = folder / "template"
        self._folder = folder
        self._template.mkdir(parents=True)
        operation.prepare(Stage(self._template))
        with self._copied("calm") as stage:
            _forget()
            act = operation.begin(stage)
            before = _tree(stage.folder)
            with Disk(stage.folder).mounted() as disk:
                act()
            self.calls = disk.calls
            self.strays = _strays(stage.folder, before, disk)
            operation.check(stage)
            self.content = _finished(stage)

    def cases(self, faults: Sequence[Fault]) -> Iterator[Case]:
        """Each fault at each call where it makes a difference."""
        for fault in faults:
            for at, call in enumerate(self.calls):
                if _matters(fault, call):
                    yield Case(self.operation, fault, at, call)

    def sample(self, turn: int) -> Iterator[Case]:
        """Every kind of call that changes something once, the faults in turn; torn ones at every write."""
        kinds = {call: at for at, call in enumerate(self.calls) if _changes(call)}
        faults = itertools.cycle(FAULTS)
        for _ in range(turn % len(FAULTS)):
            next(faults)
        for call, at in kinds.items():
            yield Case(self.operation, next(fault for fault in faults if _matters(fault, call)), at, call)
        for number, (call, at) in enumerate(kinds.items()):
            if call.name == "write":
                fault: Fault = "torn" if (turn + number) % 2 else "killed torn"
                yield Case(self.operation, fault, at, call)

    def killed(self, killer: Killer, at: int) -> None:
        """As `run`, by a process of its own that really kills itself before call `at`."""
        case = Case(self.operation, "killed", at, self.calls[at])
        with self._copied("case") as stage:
            status = killer.run(case, stage.folder)
            assert status == -signal.SIGKILL, f"{case}: ended with {status}"
            _forget()
            with _without_disk_sync():
                self.operation.begin(stage)()
            self.operation.check(stage)
            after = _finished(stage)
            assert after == self.content, f"{case}: {_difference(self.content.rows, after.rows)}"

    def run(self, case: Case) -> None:
        """Raises AssertionError, with the case, where anything is lost, twice, or does not verify."""
        with self._copied("case") as stage:
            try:
                disk = _suffer(self.operation, stage, case)
                disk.lose()
                self.operation.check(stage)
                after = _finished(stage)
            except Exception as error:
                raise AssertionError(f"{case}: {type(error).__name__}: {error}") from error
            assert after.rows == self.content.rows, f"{case}: {_difference(self.content.rows, after.rows)}"
            assert after.entries == self.content.entries, f"{case}: {after.entries}"

    @contextlib.contextmanager
    def _copied(self, name: str) -> Generator[Stage]:
        folder = self._folder / name
        shutil.copytree(self._template, folder, copy_function=_copy)
        try:
            yield Stage(folder)
        finally:
            shutil.rmtree(folder)
            shutil.rmtree(folder.with_name(f"{name}.lost"), ignore_errors=True)


def _changes(call: Call) -> bool:
    return call.name != "close" and not (call.name == "open" and call.place.startswith("directory of "))


def _matters(fault: Fault, call: Call) -> bool:
    """Whether the fault differs from others at this call."""
    if fault in ("torn", "killed torn"):
        return call.name == "write"
    return fault != "ENOSPC" or call.name in TAKES_SPACE


def _suffer(operation: Operation, stage: Stage, case: Case) -> Disk:
    """Do the operation, as the program does, on a disk that fails: after an error once more, and after a
    death, or when it has given up, from a new start."""
    _forget()
    act = operation.begin(stage)
    disk = Disk(stage.folder, case.fault, case.at)
    with disk.mounted():
        done, died = False, False
        for _ in range(ATTEMPTS):
            try:
                act()
                done = True
                break
            except OSError:
                continue
            except Killed:
                died = True
                break
        disk.recover()
        if not done and not died and case.fault != "EIO":
            act()  # there is room again
            done = True
    if case.fault == "power cut":
        disk.lose()
    if not done:
        _forget()
        with disk.mounted():
            operation.begin(Stage(stage.folder, stage.later_ms))()
    return disk


def _forget() -> None:
    """What a process knows of its directories ends with it."""
    durable._SYNCED.clear()  # pyright: ignore[reportPrivateUsage]


def _finished(stage: Stage) -> Content:
    """Go on as ever: everything opened anew, rows sealed and appended, a checkpoint, files compacted and
    swept two hours later. Then everything must hold."""
    later = Stage(stage.folder, stage.later_ms + 2 * HOUR_MS)
    with _without_disk_sync():
        later.go_on()
    store = later.store
    notes = [store.objects.read(f"checkpoints/{name}") for name in store.objects.names("checkpoints")]
    report = verify_store(store, Wanted(keys=[later.key().public], anchors=notes), workers=1)
    assert report.holds, f"{[(one.verdict, one.place, one.how) for one in report.faults[:4]]}"
    assert {one.state for one in report.outcomes} == {"holds"}, report.outcomes
    _assert_nothing_loose(store)
    return _content(store)


def _content(store: Store) -> Content:
    rows: list[tuple[Any, ...]] = []
    kinds: Counter[str] = Counter()
    for topic_id, partition in store.partitions():
        log = PartitionLog.open(store, topic_id, partition)
        kinds.update(
            f"{topic_id} {entry.kind}" for entry in log.entries_after(-1) if entry.kind in COUNTED_ONCE
        )
        for name in log.state.live:
            with store.open_segment(topic_id, partition, name) as source:
                table = open_parquet(source).read(columns=["offset", "item", "kind", "meta", "payload"])
            for row in table.to_pylist():
                meta = _without_clock(row["kind"], row["meta"])
                rows.append(
                    (topic_id, partition, row["offset"], row["item"], row["kind"], meta, row["payload"])
                )
    assert len({row[:4] for row in rows}) == len(rows), "a row is there twice"
    return Content(rows, dict(kinds))


def _without_clock(kind: str | None, meta: str | None) -> Any:
    if kind != "erasure" or meta is None:
        return meta
    decoded = msgspec.json.decode(meta)
    return {name: value for name, value in decoded.items() if name in ("phase", "what", "rows", "payloads")}


def _assert_nothing_loose(store: Store) -> None:
    """Every file is one that the log makes live: no leftover stays for ever."""
    for topic_id, partition in store.partitions():
        live = set(PartitionLog.open(store, topic_id, partition).state.live)
        loose = set(store.segment_names(topic_id, partition)) - live
        assert not loose, f"left in {topic_id}/{partition}: {loose}"
    staged = store.objects.names("staging")
    assert not staged, f"left in staging: {staged}"


def _difference(expected: list[Any], found: list[Any]) -> str:
    lost, more = [row for row in expected if row not in found], [row for row in found if row not in expected]
    return f"lost {lost[:2]}, more {more[:2]}"


def _tree(folder: Path) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()
    }


def _strays(folder: Path, before: dict[Path, tuple[int, int]], disk: Disk) -> set[str]:
    """Files that were made, changed or removed by no counted call: nothing could fail there."""
    after = _tree(folder)
    changed = {path for path, stamp in after.items() if before.get(path) != stamp} - disk.made
    gone = before.keys() - after.keys() - disk.removed
    return {str(path.relative_to(folder)) for path in changed | gone}


def _copy(source: str, target: str) -> None:
    """Files of the store are never changed in place, so another name is a copy; DuckDB's are."""
    if source.endswith((".parquet", ".json", ".note", ".ndjson")):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def _no_sync(_: int) -> None:
    return


@contextlib.contextmanager
def _without_disk_sync() -> Generator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", _no_sync)
        yield


def may_write_itself(path: str) -> bool:
    """DuckDB writes its files; all of the catalog is a cache, named by a pointer that is ours."""
    return path.startswith("store/catalog/")
