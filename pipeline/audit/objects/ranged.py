"""A remote object as a file to seek in: each read fetches a range, small ones ahead of need."""

import io
from collections.abc import Callable
from typing import BinaryIO, cast

READ_AHEAD_BYTES = 1024 * 1024
"""The least that is fetched at once, and all that is kept."""

Fetch = Callable[[int, int], bytes]
"""The bytes from a start to an end, exclusive."""


def open_ranged(size: int, fetch: Fetch) -> BinaryIO:
    """A file of `size` bytes. Memory: the read-ahead, and what a caller reads at once."""
    return cast(BinaryIO, io.BufferedReader(_Ranged(size, fetch), READ_AHEAD_BYTES))


class _Ranged(io.RawIOBase):
    def __init__(self, size: int, fetch: Fetch) -> None:
        self._size = size
        self._fetch = fetch
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride] (any buffer)
        end = min(self._position + len(buffer), self._size)
        if end <= self._position:
            return 0
        content = self._fetch(self._position, end)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)
