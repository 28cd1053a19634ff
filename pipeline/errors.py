"""Errors that reach a person. Each names what is wrong, where, and what to do about it.

The command line prints `str(error)` and exits with `exit_code`; a traceback never reaches a user.
"""


class AuditfuseError(Exception):
    """Base of every error that auditfuse raises on purpose."""

    exit_code = 2


class ConfigError(AuditfuseError):
    """The configuration or the command's usage is wrong."""


class StoreError(AuditfuseError):
    """The audit store cannot be read or written as asked."""


class Fenced(StoreError):
    """Another writer has claimed the partition: this one must stop for good and publish nothing."""


class Halt(AuditfuseError):
    """A partition must not go on without a person's decision. Other partitions go on."""

    def __init__(self, topic_id: str, partition: int, reason: str, way_out: str) -> None:
        self.topic_id = topic_id
        self.partition = partition
        self.reason = reason
        self.way_out = way_out
        super().__init__(f"{topic_id}/{partition} is halted: {reason}. {way_out}")


class TopicError(AuditfuseError):
    """A topic cannot be read from or appended to."""


class TopicReplaced(TopicError):
    """The topic was deleted, and another one has its name now: what is read from here on is another's."""
