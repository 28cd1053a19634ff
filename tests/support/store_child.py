"""A process that writes to a store, and stops itself (SIGSTOP) at a chosen moment of the `stop_at`-th call.

    python store_child.py seal ROOT MOMENT STOP_AT      seals rows until it is fenced
    python store_child.py compact ROOT MOMENT STOP_AT   compacts until it is fenced or nothing is due
    python store_child.py append ROOT HOST COUNT        appends commands once it reads a line

Exits with 0 when it is done, with 3 when it was fenced.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.audit import START_MS, TOPIC_ID, claim, command_row, event_rows

from pipeline.audit.compact import PartitionCompactor
from pipeline.audit.control import AppendLog
from pipeline.audit.store import CONTROL, Store, StoreConfig
from pipeline.audit.writer import new_writer_id
from pipeline.errors import Fenced

FENCED = 3
MOMENTS = (
    "before the segment",
    "at the segment's link",
    "between segment and entry",
    "at the entry's link",
    "after the entry",
)


def stop_at(moment: str, number: int) -> None:
    """Let this process stop itself at `moment` of its `number`-th call there, from 1."""
    if moment == "before the segment":
        _patch(Store, "create_segment", number, before=True)
    elif moment == "between segment and entry":
        _patch(Store, "create_segment", number, before=False)
    elif moment == "after the entry":
        _patch(Store, "create_entry", number, before=False)
    else:
        suffix = ".parquet" if "segment" in moment else ".json"
        _patch(os, "link", number, before=True, only=lambda arguments: str(arguments[1]).endswith(suffix))


def _patch(
    owner: Any, name: str, number: int, *, before: bool, only: Callable[[Any], bool] = lambda arguments: True
) -> None:
    real, calls = getattr(owner, name), 0

    def stopping(*arguments: Any) -> Any:
        nonlocal calls
        calls += only(arguments)
        is_now = calls == number and only(arguments)
        if is_now and before:
            os.kill(os.getpid(), signal.SIGSTOP)
        result = real(*arguments)
        if is_now and not before:
            os.kill(os.getpid(), signal.SIGSTOP)
        return result

    setattr(owner, name, stopping)


def seal(root: Path) -> None:
    """Seal three rows at a time for as long as it may."""
    writer = claim(Store(root))
    for _ in range(100):
        writer.seal(event_rows(writer.end, 3), writer.end + 3)


def compact(root: Path) -> None:
    """Merge every two neighbours."""
    config = StoreConfig.model_validate({"path": root, "compact_fan_in_files": 2, "superseded_grace_s": 0})
    compactor = PartitionCompactor(
        Store(root), TOPIC_ID, 0, config, writer_id=new_writer_id(), now_ms=lambda: START_MS
    )
    while compactor.run_once().made:
        pass
    compactor.run_once()


def append(root: Path, host: str, count: int) -> None:
    """Append commands, one to five an entry, some of them a second time."""
    log = AppendLog(Store(root), CONTROL, writer_id=new_writer_id(), now_ms=lambda: START_MS)
    print("ready", flush=True)
    sys.stdin.readline()
    rows = [command_row(f"{host}-{i:04d}") for i in range(count)]
    at = 0
    while at < count:
        size = 1 + at % 5
        log.append(rows[max(0, at - 1) : at + size])
        at += size


def main(arguments: list[str]) -> int:
    os.fsync = lambda fd: None  # the disk is not what is tested
    role, root = arguments[0], Path(arguments[1])
    if role == "append":
        append(root, arguments[2], int(arguments[3]))
        return 0
    stop_at(arguments[2], int(arguments[3]))
    try:
        (seal if role == "seal" else compact)(root)
    except Fenced:
        return FENCED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
