"""What a topic holds, as an independent consumer has read it: the truth that the store is judged by."""

import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

_LENGTH = struct.Struct("<I")


class Record(msgspec.Struct, array_like=True, frozen=True):
    """A message as the topic holds it."""

    offset: int
    time_ms: int
    value: bytes | None


class Spool:
    """The messages of one partition of one topic id, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab")
        self.end = 0

    def append(self, record: Record) -> None:
        """Add the next message; there are no gaps in what is produced here."""
        assert record.offset == self.end, f"{self._path.name}: {record.offset} after {self.end - 1}"
        content = msgspec.msgpack.encode(record)
        self._file.write(_LENGTH.pack(len(content)) + content)
        self.end += 1

    def records(self) -> Iterator[Record]:
        """All of them, in order."""
        self._file.flush()
        with self._path.open("rb") as file:
            while head := file.read(_LENGTH.size):
                yield msgspec.msgpack.decode(file.read(_LENGTH.unpack(head)[0]), type=Record)
