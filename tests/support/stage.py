"""A store and all that writes it: what the fault matrix and the tamper matrix are played on."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
from support.audit import TOPIC_ID, command_row, event_rows

from pipeline.audit import bundle, entries, log, log_snapshot
from pipeline.audit.checkpoint.note import SigningKey
from pipeline.audit.checkpoint.sequencer import Sequencer
from pipeline.audit.compact import PartitionCompactor
from pipeline.audit.control import AppendLog
from pipeline.audit.entries import Clock
from pipeline.audit.gap import resume
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import CHECKPOINT, CONTROL, Store, StoreConfig
from pipeline.audit.verify import log_files
from pipeline.audit.writer import PartitionWriter, new_writer_id

ROWS = 2
"""Rows of a segment."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
LOG_NAME = "example.com/trail"
BUNDLE_ENTRIES = 4


class Stage:
    """A folder with a store and what belongs to it; `later_ms` moves its clock on."""

    def __init__(self, folder: Path, later_ms: int = 0) -> None:
        self.folder = folder
        self.later_ms = later_ms
        self._ticks = itertools.count(time.time_ns() // 1_000_000)

    @property
    def root(self) -> Path:
        return self.folder / "store"

    @property
    def store(self) -> Store:
        """Opened anew, as by another process."""
        return Store(self.root)

    def now_ms(self) -> int:
        """A millisecond later at each call."""
        return next(self._ticks) + self.later_ms

    def key(self) -> SigningKey:
        """The key of the checkpoints: always the same."""
        return SigningKey(LOG_NAME, bytes(32))

    def writer(self) -> PartitionWriter:
        """A writer that has just claimed the partition."""
        return PartitionWriter.claim(self.store, TOPIC_ID, 0, writer_id=new_writer_id(), now_ms=self.now_ms)

    def compactor(
        self, topic_id: str = TOPIC_ID, clock_s: Clock = entries.boot_clock_s, fan_in: int = 2
    ) -> PartitionCompactor:
        config = StoreConfig(path=self.root, compact_fan_in_files=fan_in, superseded_grace_s=900)
        return PartitionCompactor(
            self.store,
            topic_id,
            0,
            config,
            writer_id=new_writer_id(),
            now_ms=self.now_ms,
            clock_s=clock_s,
        )

    def sequencer(self) -> Sequencer:
        return Sequencer(
            self.store,
            lambda _origin: [self.key()],
            self.folder / "checkpoint",
            interval_s=60,
            now_ms=self.now_ms,
        )

    def append(self, topic_id: str, *ids: str) -> None:
        """Rows of these ids in an append partition."""
        appender = AppendLog(self.store, topic_id, writer_id=new_writer_id(), now_ms=self.now_ms)
        appender.append([command_row(one_id) for one_id in ids])

    def go_on(self) -> None:
        """What a healthy host does next: claim, lift a halt, seal, append, sign, compact and sweep."""
        writer = self.writer()
        if writer.halted is not None:
            resume(self.store, TOPIC_ID, 0, reason="mended", by="ana", now_ms=self.now_ms)
        writer.seal(event_rows(100, ROWS), 100 + ROWS)
        self.append(CONTROL, "last")
        self.sequencer().run_once(take_over=True)
        for place in self.store.partitions():
            if place[0] != CHECKPOINT:
                self.compactor(place[0]).run_once()
                self.tend(place[0])
                later = Stage(self.folder, self.later_ms + 2 * HOUR_MS)
                later.compactor(place[0]).run_once()

    def tend(self, topic_id: str = TOPIC_ID) -> None:
        """Bundle what the checkpoint tree holds of a log, and keep a snapshot of it."""
        self.compactor(topic_id).tend_log(PartitionLog.open(self.store, CHECKPOINT, 0).state)

    def seal(self, writer: PartitionWriter, start: int) -> None:
        """Seal the rows from `start`, unless they are sealed."""
        if writer.end == start:
            writer.seal(event_rows(start, ROWS), start + ROWS)


def small_bundles() -> pytest.MonkeyPatch:
    """Bundles and snapshots of a few entries."""
    patch = pytest.MonkeyPatch()
    for module in (entries, bundle, log_files):
        patch.setattr(module, "BUNDLE_ENTRIES", BUNDLE_ENTRIES)
    patch.setattr(log_files, "_READ_ENTRIES", BUNDLE_ENTRIES)
    for module in (log, log_snapshot):
        patch.setattr(module, "SNAPSHOT_EVERY_ENTRIES", 2)
    return patch
