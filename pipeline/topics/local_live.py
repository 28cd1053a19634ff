"""What the producer of a local topic tells the consumers in its own process."""

import asyncio
import contextlib
import weakref
from pathlib import Path


class Live:
    """The acknowledged ends (None where no producer runs in this process), and a call when they grow."""

    def __init__(self) -> None:
        self.ends: dict[int, int] | None = None
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def add(self, event: asyncio.Event) -> None:
        """Set `event` on its own loop whenever something was appended."""
        self._waiting.add((asyncio.get_running_loop(), event))

    def discard(self, event: asyncio.Event) -> None:
        """Set it no more."""
        self._waiting.discard((asyncio.get_running_loop(), event))

    def wake(self) -> None:
        """Tell all consumers to look."""
        for loop, event in self._waiting:
            with contextlib.suppress(RuntimeError):  # the consumer's loop has closed
                loop.call_soon_threadsafe(event.set)


_live_topics: "weakref.WeakValueDictionary[Path, Live]" = weakref.WeakValueDictionary()


def live_topic(path: Path) -> Live:
    """The one Live of a topic's directory in this process."""
    return _live_topics.setdefault(path.resolve(), Live())
