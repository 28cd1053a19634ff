"""Server-sent events, read line by line. Pure."""

from typing import NamedTuple


class Event(NamedTuple):
    """One event: its name, and its lines of content joined by newlines."""

    name: str
    content: bytes


class EventReader:
    """Collects the lines of an event until the blank line that ends it."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._clear()

    def take(self, line: bytes) -> Event | None:
        """The event that this line ends, if it ends one. Raises ValueError where one gets too large."""
        line = line.rstrip(b"\r\n")
        if not line:
            event = Event(self._name, b"\n".join(self._content)) if self._content else None
            self._clear()
            return event
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._size += len(value)
            if self._size > self._max_bytes:
                raise ValueError("an event of the stream is too large")
            self._content.append(value)
        elif field == b"event":
            self._name = value.decode(errors="replace")
        return None

    def _clear(self) -> None:
        self._name = "message"
        self._content: list[bytes] = []
        self._size = 0
