"""What is published of sealed rows, and how: the contract of an output topic."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from prometheus_client import Counter

from pipeline import metrics
from pipeline.publish.positions import PartitionKey
from schemas.log_entry import SegmentRef


class SealedRow(NamedTuple):
    """A row of a segment, with the columns that the output asked for."""

    identity: str
    """`<topic id>/<partition>/<offset>/<item>`."""
    columns: Mapping[str, Any]


class Published(NamedTuple):
    """One message of an output topic."""

    key: bytes
    value: bytes


class Output(Protocol):
    """One output topic: which rows it takes, and what they become."""

    @property
    def kind(self) -> str:
        """The kind of the rows that it takes."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """The columns that it reads of them, besides kind, offset and item. A row in which the first of them
        is null was erased, and is not told any more."""
        ...

    @property
    def counted(self) -> Counter:
        """Counts its rows."""
        ...

    def may_be_in(self, ref: SegmentRef) -> bool:
        """Whether a segment may hold rows of its kind."""
        ...

    def messages(self, rows: Sequence[SealedRow]) -> Iterator[Published]:
        """The messages of consecutive rows of one partition. Pure."""
        ...


class OfEvents:
    """What outputs of sealed events have in common."""

    kind = "event"
    columns = ("meta", "payload")
    counted = metrics.redacted_published

    def __init__(self, max_message_bytes: int) -> None:
        self._max_bytes = max_message_bytes

    def may_be_in(self, ref: SegmentRef) -> bool:
        """Whether a segment has events."""
        return ref.events > 0


def row_identity(key: PartitionKey, offset: int, item: int) -> str:
    """A row's identity as consumers see it."""
    return f"{key[0]}/{key[1]}/{offset}/{item}"
