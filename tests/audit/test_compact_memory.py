"""Compaction's memory does not grow with the store."""

import os
import sys
from pathlib import Path

import msgspec
from support.audit import TOPIC_ID, claim, event_rows
from support.faults import without_disk_sync

from pipeline.audit.log import PartitionLog
from pipeline.audit.store import Store

__all__ = ["without_disk_sync"]

SEGMENT_ROWS = 100
TARGET_BYTES = 4 * 1024 * 1024


def store_of(root: Path, segments: int) -> Path:
    """About 300 kB a segment that no compression makes smaller than half."""
    writer = claim(Store(root))
    for number in range(segments):
        start = number * SEGMENT_ROWS
        rows = [
            msgspec.structs.replace(row, payload=b'{"output":"%s"}' % os.urandom(3_000).hex().encode())
            for row in event_rows(start, SEGMENT_ROWS)
        ]
        writer.seal(rows, start + SEGMENT_ROWS)
    return root


def peak_mb(root: Path) -> float:
    """The most memory that `auditfuse compact` takes."""
    auditfuse = str(Path(sys.executable).with_name("auditfuse"))
    command = [auditfuse, "compact", "--store", str(root), "--json"]
    environment = {**os.environ, "AUDITFUSE_STORE__COMPACT_TARGET_BYTES": str(TARGET_BYTES)}
    process = os.posix_spawn(command[0], command, environment)
    _, status, usage = os.wait4(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return usage.ru_maxrss / 1024


def test_memory_is_bounded_whatever_the_size_of_the_store(tmp_path: Path) -> None:
    few, many = store_of(tmp_path / "few", 20), store_of(tmp_path / "many", 100)
    assert peak_mb(many) < peak_mb(few) + 30
    assert len(PartitionLog.open(Store(many), TOPIC_ID, 0).state.live) < 20
