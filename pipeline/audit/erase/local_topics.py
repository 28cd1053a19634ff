"""Raw input in local topics, encrypted: files whose messages are all sealed are deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.audit.log import PartitionLog
from pipeline.audit.store import Store
from pipeline.errors import AuditfuseError
from pipeline.file_lock import file_lock
from pipeline.keys import Keys
from pipeline.topics.local_files import KEY_NAME, TopicDirectory
from pipeline.topics.local_writer import PartitionWriter

if TYPE_CHECKING:
    from pipeline.config import Config


def drop_sealed(store: Store, config: Config, topic: str, *, erase: bool) -> str | None:
    """Begin a new file in every partition and delete those before it, as far as they are sealed.

    Returns what stays, and until when; None where nothing does. `erase` false only tells.
    """
    path = config.topics.path / topic
    if not (path / "topic.json").exists():
        return None
    try:
        directory = TopicDirectory.open(config.topics.path, topic, 1, Keys(config.keys.path).get(KEY_NAME))
        with file_lock(path / "producer.lock") as alone:
            if not alone:
                return (
                    f"local topic {topic} (encrypted): its newest files, until the process that writes "
                    "them is restarted and more has come"
                )
            left = sum(
                _drop(store, config, directory, number, erase=erase) for number in range(directory.partitions)
            )
    except (AuditfuseError, OSError) as error:
        return f"local topic {topic} (encrypted): {error}"
    return f"local topic {topic} (encrypted): {left} messages that are not sealed yet" if left else None


def _drop(store: Store, config: Config, directory: TopicDirectory, partition: int, *, erase: bool) -> int:
    """Returns how many messages stay since they are not sealed."""
    sealed_end = PartitionLog.open(store, directory.topic_id, partition).state.end
    writer = PartitionWriter(config.topics, directory, partition)
    if erase and directory.files(partition)[-1].start < writer.end:
        writer.begin_file()
        writer.close()
    if erase:
        directory.delete_below(partition, sealed_end)
    return max(0, writer.end - sealed_end)
