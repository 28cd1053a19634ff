"""Long logs for tests, written without waiting for the disk."""

from pathlib import Path

from support.audit import START_MS, TOPIC_ID

from pipeline.audit.log import PartitionLog, PartitionState, encode_entry, fold
from pipeline.audit.merkle import checkpoint_leaves
from pipeline.audit.store import CHECKPOINT, Store
from schemas.log_entry import Leaves, LogEntry

WRITER = "a" * 32


def write_idle_log(store: Store, count: int, *, step_ms: int = 1000, partition: int = 0) -> PartitionState:
    """`count` entries a file each: a claim, then idle entries `step_ms` apart. Returns their fold."""
    state = PartitionState.initial(TOPIC_ID, partition)
    directory = Path(store.objects.location(store.log_prefix(TOPIC_ID, partition)))
    directory.mkdir(parents=True)
    for n in range(count):
        entry = LogEntry(
            n=n,
            prev=state.last_hash,
            kind="idle" if n else "claim",
            topic_id=TOPIC_ID,
            partition=partition,
            at_ms=START_MS + n * step_ms,
            writer=WRITER,
            epoch=1,
            role=None if n else "writer",
            end=0 if n else None,
            idle_until_ms=START_MS + n * step_ms if n else None,
        )
        content = encode_entry(entry)
        (directory / f"{n:012d}.json").write_bytes(content)
        state = fold(state, entry, content)
    return state


def entry_names(store: Store, partition: int = 0) -> list[str]:
    """The files of a log's entries."""
    return [name for name in store.objects.names(store.log_prefix(TOPIC_ID, partition)) if name != "bundles"]


def cover(store: Store, leaves: Leaves) -> None:
    """Put entries into the checkpoint tree, unsigned."""
    log = PartitionLog.open(store, CHECKPOINT, 0)
    claim = log.next_entry("claim", at_ms=START_MS, writer=WRITER, epoch=log.state.epoch + 1, role="writer")
    assert log.try_append(claim)
    tree = log.state.tree.grown(checkpoint_leaves(leaves))
    batch = log.next_entry(
        "batch",
        at_ms=START_MS,
        writer=WRITER,
        epoch=claim.epoch,
        origin="trail",
        leaves=[leaves],
        size=tree.size,
        root=tree.root().hex(),
    )
    assert log.try_append(batch)
