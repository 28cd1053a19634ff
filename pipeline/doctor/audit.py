"""The audit store: readable, not halted, checkpointed; the keys."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.audit.checkpoint.archive import find_checkpoint
from pipeline.audit.gap import halted_partitions
from pipeline.audit.store import open_store
from pipeline.clock import NowMs
from pipeline.config import Config
from pipeline.doctor.model import CheckResult, fails, warning, well
from pipeline.errors import StoreError

LATE_CHECKPOINTS = 10
"""So many intervals without a checkpoint are a complaint."""


def audit_store(config: Config, now_ms: NowMs) -> Iterator[CheckResult]:
    """The store itself: partitions, halts, the age of the newest checkpoint."""
    store = open_store(config.store)
    if not store.objects.exists():
        yield warning(
            "store", f"nothing is at {store.name} yet", "auditfuse run makes it with the first event"
        )
        return
    partitions = [one for one in store.partitions() if not one[0].startswith("_")]
    yield well("store", f"{store.name}, {len(partitions)} partitions of input topics")
    for state in halted_partitions(store):
        yield fails(
            f"partition {state.topic_id}/{state.partition}",
            f"halted: {state.halted}",
            "decide with auditfuse gap; nothing of it is sealed before",
        )
    try:
        newest = find_checkpoint(store, None)
    except StoreError as error:
        if partitions:
            yield warning("checkpoint", str(error), "auditfuse checkpoint now")
        return
    age_s = (now_ms() - (newest.statement.at_ms or 0)) / 1000  # one that does not say when is old
    says = f"the newest is {age_s:,.0f} s old and covers {newest.statement.size:,} log entries"
    if age_s > LATE_CHECKPOINTS * config.checkpoint.interval_s:
        yield warning("checkpoint", says, "is auditfuse running? Else: auditfuse checkpoint now")
    else:
        yield well("checkpoint", says)
    if not config.checkpoint.anchors:
        yield warning(
            "anchors",
            "checkpoints are kept in the store alone: who can write there could write another history",
            "configure [[checkpoint.anchors]], a place that the store's writers cannot change",
        )


def key_files(config: Config) -> Iterator[CheckResult]:
    """Whether others may read the keys."""
    directory = config.keys.path
    if not directory.is_dir():
        yield warning("keys", f"there are none at {directory} yet", "the first run makes them")
        return
    exposed = [path for path in (directory, *sorted(directory.iterdir())) if _is_exposed(path)]
    for path in exposed:
        yield fails("keys", f"{path} may be read by others", f"chmod go= {path}")
    if not exposed:
        count = sum(path.suffix == ".key" for path in directory.iterdir())
        yield well("keys", f"{count} key files in {directory}, readable by their owner alone")


def _is_exposed(path: Path) -> bool:
    mode = path.stat().st_mode
    return bool(mode & (0o007 if path.is_dir() else 0o077)) and path.suffix != ".pub"
