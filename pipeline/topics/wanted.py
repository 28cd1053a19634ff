"""The Kafka topics of a configuration: what each must be set to, and what is wrong with one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config import Config

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FOR_EVER = -1
KEY_AND_FRAME_BYTES = 64 * 1024
"""What a message takes beside its value, at most."""


@dataclass(frozen=True)
class Setting:
    """What a setting of a topic must be."""

    name: str
    value: str
    """What it is set to at creation, and by the command that puts it right."""
    holds: Callable[[str], bool]
    why: str
    """What happens where it is otherwise."""
    is_fatal: bool = True
    """Whether something is lost or stands still then; otherwise it is a matter of caution."""


@dataclass(frozen=True)
class WantedTopic:
    """A topic that the configuration names."""

    name: str
    use: str
    settings: tuple[Setting, ...]
    partitions: int | None = None
    """Exactly so many; None: any number."""
    default_partitions: int = 1
    """At creation, where any number will do."""


@dataclass(frozen=True)
class FoundTopic:
    """A topic as the cluster has it."""

    partitions: int
    replicas: int
    """Of its partition with the fewest."""
    settings: Mapping[str, str] | None
    """None: they may not be described."""


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong with a topic."""

    topic: str
    setting: str
    found: str
    wanted: str
    why: str
    command: str
    """What puts it right."""
    is_fatal: bool = field(default=True)


def wanted_topics(config: Config) -> list[WantedTopic]:
    """In the order of the flow."""
    topics = [
        WantedTopic(
            source.topic,
            f"input of source {source.name}",
            (*_STREAM, _keeps(3 * DAY_MS, DAY_MS, _RAW), _takes(source.max_message_bytes, _INPUT)),
            default_partitions=8,
        )
        for source in config.sources
        if source.kind == "kafka"
    ]
    if config.dead_letters.topic and config.dead_letters.kind == "kafka":
        settings = (_DELETED, _keeps(7 * DAY_MS, DAY_MS, _OUTPUT))
        topics.append(WantedTopic(config.dead_letters.topic, "dead letters", settings))
    redacted = config.redacted
    if redacted.topic and redacted.kind == "kafka":
        settings = (
            _DELETED,
            _keeps(DAY_MS, HOUR_MS, _OUTPUT),
            _ENDS,
            _takes(redacted.max_message_bytes, "the publisher stops at the first larger event"),
        )
        topics.append(WantedTopic(redacted.topic, "redacted stream", settings, default_partitions=8))
    if config.signals.topic:
        settings = (
            _DELETED,
            _takes(config.kafka.max_request_bytes, _SIGNALS),
            _keeps(HOUR_MS, 60_000, _SIGNALS),
        )
        count = config.signals.partitions
        topics.append(WantedTopic(config.signals.topic, "signals to detection", settings, partitions=count))
    if config.killswitch.topic:
        topics.append(WantedTopic(config.killswitch.topic, "trips in force", (_COMPACTED,)))
    topics += [
        WantedTopic(anchor.topic, "checkpoints", (_DELETED, _KEPT))
        for anchor in config.checkpoint.anchors
        if anchor.kind == "kafka"
    ]
    return topics


def complaints(wanted: WantedTopic, found: FoundTopic | None, bootstrap: str) -> Iterator[Complaint]:
    """What is wrong with a topic, and the command of Kafka's own tools that puts each right."""
    tool = f"--bootstrap-server {bootstrap}"
    if found is None:
        create = f"auditfuse topics create   (or: kafka-topics.sh {tool} --create --topic {wanted.name} …)"
        yield Complaint(
            wanted.name, "topic", "is not there", "there", "nothing can be read or written", create
        )
        return
    if wanted.partitions is not None and found.partitions != wanted.partitions:
        grow = f"kafka-topics.sh {tool} --alter --topic {wanted.name} --partitions {wanted.partitions}"
        is_grown = found.partitions < wanted.partitions
        command = grow if is_grown else f"set signals.partitions = {found.partitions}, or make the topic anew"
        why = "each partition is a shard of detection"
        yield Complaint(
            wanted.name, "partitions", str(found.partitions), str(wanted.partitions), why, command
        )
    if found.settings is None:
        grant = (
            f"kafka-acls.sh {tool} --add --allow-principal User:auditfuse --operation DescribeConfigs "
            f"--topic {wanted.name}"
        )
        yield Complaint(wanted.name, "settings", "may not be described", "known", "nothing is known", grant)
        return
    for setting in (*wanted.settings, *_replication(found.replicas)):
        value = found.settings.get(setting.name, "")
        if not setting.holds(value):
            command = (
                f"kafka-configs.sh {tool} --entity-type topics --entity-name {wanted.name} --alter "
                f"--add-config {setting.name}={setting.value}"
            )
            yield Complaint(
                wanted.name, setting.name, value, setting.value, setting.why, command, setting.is_fatal
            )


def creation_settings(wanted: WantedTopic, replicas: int) -> dict[str, str]:
    """The settings of a topic that is made with so many replicas."""
    return {one.name: one.value for one in (*wanted.settings, *_replication(replicas)) if one.value}


def _replication(replicas: int) -> tuple[Setting, ...]:
    """With three replicas, two must have a message before it counts as written."""
    if replicas < 3:
        return ()
    least = Setting(
        "min.insync.replicas",
        "2",
        lambda value: _number(value) >= 2,
        "what one broker acknowledged is lost with it",
        is_fatal=False,
    )
    return (least,)


def _keeps(value_ms: int, least_ms: int, why: str) -> Setting:
    def holds(value: str) -> bool:
        return _number(value) == FOR_EVER or _number(value) >= least_ms

    return Setting("retention.ms", str(value_ms), holds, why, is_fatal=False)


def _takes(size: int, why: str) -> Setting:
    """Messages of that size, with what Kafka adds to them."""
    needed = size + KEY_AND_FRAME_BYTES
    return Setting("max.message.bytes", str(needed), lambda value: _number(value) >= size, why)


def _number(value: str) -> int:
    return int(value) if value.lstrip("-").isdigit() else 0


_RAW = "a halt that lasts longer loses what came meanwhile"
_OUTPUT = "who reads it may be away for a while"
_INPUT = "larger messages are refused to their senders, and never audited"
_SIGNALS = "detection falls back to reading the store, which is slower"
_DELETED = Setting(
    "cleanup.policy",
    "delete",
    lambda value: value == "delete",
    "a compacted topic drops messages before they are read",
)
_COMPACTED = Setting(
    "cleanup.policy",
    "compact",
    lambda value: value == "compact",
    "by age, Kafka deletes trips that are in force, and who reads the topic lets the agent act",
)
_KEPT = Setting(
    "retention.ms",
    str(FOR_EVER),
    lambda value: _number(value) == FOR_EVER,
    "a checkpoint that has expired proves nothing",
)
_ENDS = Setting(
    "retention.ms",
    str(DAY_MS),
    lambda value: _number(value) != FOR_EVER,
    "what is erased in the store stays in the topic for ever",
    is_fatal=False,
)
_STREAM = (
    Setting(
        "message.timestamp.type",
        "LogAppendTime",
        lambda value: value == "LogAppendTime",
        "messages bear the sender's time: their findings page, and trip nothing",
        is_fatal=False,
    ),
    _DELETED,
)
