"""A person's decision on a halted partition: give up offsets, or go on where it stopped."""

from pipeline.audit.log import PartitionLog, PartitionState
from pipeline.audit.store import Store
from pipeline.audit.writer import new_writer_id
from pipeline.clock import NowMs
from pipeline.errors import ConfigError
from schemas.log_entry import EntryKind


def accept_gap(
    store: Store, topic_id: str, partition: int, *, to: int, reason: str, by: str, now_ms: NowMs
) -> PartitionState:
    """Let a halted partition go on at offset `to`, above its end. Raises ConfigError."""
    end = _halted(store, topic_id, partition).state.end
    if to <= end:
        raise ConfigError(
            f"--to must lie above {end}, the end of {topic_id}/{partition}; or run: auditfuse gap resume"
        )
    return _decide(store, topic_id, partition, "gap", now_ms, end=to, reason=reason, by=by)


def resume(
    store: Store, topic_id: str, partition: int, *, reason: str, by: str, now_ms: NowMs
) -> PartitionState:
    """Let a halted partition go on at its end. Raises ConfigError."""
    return _decide(store, topic_id, partition, "resume", now_ms, reason=reason, by=by)


def halted_partitions(store: Store) -> list[PartitionState]:
    """Every partition that waits for a person."""
    states = [PartitionLog.open(store, *key).state for key in store.partitions()]
    return [state for state in states if state.halted is not None]


def find_topic_id(store: Store, topic: str, partition: int) -> str:
    """The topic id that a person means: given whole, or by the topic's name where only one has it."""
    present = [topic_id for topic_id, number in store.partitions() if number == partition]
    if topic in present:
        return topic
    named = [topic_id for topic_id in present if topic_id.rpartition(".")[0] == topic]
    if len(named) == 1:
        return named[0]
    choices = ", ".join(named or present) or "none"
    raise ConfigError(
        f"no single topic id for {topic!r}, partition {partition}, in the store; it has: {choices}"
    )


def _decide(
    store: Store, topic_id: str, partition: int, kind: EntryKind, now_ms: NowMs, **fields: object
) -> PartitionState:
    while True:
        log = _halted(store, topic_id, partition)
        if log.try_append(log.next_entry(kind, at_ms=now_ms(), writer=new_writer_id(), **fields)):
            return log.state


def _halted(store: Store, topic_id: str, partition: int) -> PartitionLog:
    log = PartitionLog.open(store, topic_id, partition)
    if log.state.halted is None:
        raise ConfigError(f"{topic_id}/{partition} is not halted; there is nothing to decide")
    return log
