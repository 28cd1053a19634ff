"""What a topic promises. `kafka.py` and `local.py` keep it; `tests/topics/` holds both to it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from schemas.record import TimeKind


class Message(NamedTuple):
    """One message as read. `value` is None for a tombstone."""

    partition: int
    offset: int
    time_ms: int
    time_kind: TimeKind
    key: bytes | None
    value: bytes | None


class Bounds(NamedTuple):
    """The offsets a partition holds: [log_start, high_watermark)."""

    log_start: int
    high_watermark: int


OnAssigned = Callable[[Sequence[int]], Mapping[int, int]]
"""Called with the partitions gained; returns the offset to read each from. Must not await: a
concurrent poll would deliver records from the committed offset before the seek."""
OnRevoked = Callable[[Sequence[int]], Awaitable[None]]
"""Called with the partitions lost, before another member gets them."""


class Producer(Protocol):
    """Appends to topics. An append returns only when it is durable (fsynced, or acks=all)."""

    async def start(self) -> None: ...

    async def append(
        self, values: Sequence[bytes], *, partition: int | None = None, key: bytes | None = None
    ) -> list[tuple[int, int]]:
        """Append in order; returns (partition, offset) of each. Without `partition` the key's hash,
        else round robin by batch, decides it."""
        ...

    async def stop(self) -> None: ...


class Consumer(Protocol):
    """One member of a consumer group, reading one topic."""

    @property
    def topic_id(self) -> str:
        """`<name>.<32 hex>`: separates clusters and recreated topics of the same name. Known after start."""
        ...

    async def start(self, on_assigned: OnAssigned, on_revoked: OnRevoked) -> None: ...

    async def poll(self, timeout_s: float, max_messages: int) -> dict[int, list[Message]]:
        """Messages by partition in offset order, none below the expected offset. Raises what a
        listener raised, and `OffsetOutOfRange` where an offset is not held (never skips)."""
        ...

    def pause(self, partitions: Sequence[int]) -> None:
        """Deliver nothing of these partitions until resumed; the position stays."""
        ...

    def resume(self, partitions: Sequence[int]) -> None: ...

    def seek(self, partition: int, offset: int) -> None:
        """Go on reading a partition of ours at `offset`."""
        ...

    async def bounds(self, partitions: Sequence[int]) -> dict[int, Bounds]: ...

    async def confirm(self) -> None:
        """Make sure that what was polled before this call is of `topic_id`. Raises TopicReplaced where
        another topic has its name now. A broker that cannot be asked contradicts nothing."""
        ...

    async def commit(self, ends: Mapping[int, int]) -> None:
        """Tell the broker how far the store has sealed: for lag displays only, the store decides.
        The local topic deletes files that lie below, but never the newest."""
        ...

    async def stop(self) -> None: ...


class OffsetOutOfRange(Exception):
    """A partition does not hold the offset it was to be read from. The worker halts the partition."""

    def __init__(self, partition: int, offset: int) -> None:
        super().__init__(f"partition {partition} does not hold offset {offset}")
        self.partition = partition
        self.offset = offset
