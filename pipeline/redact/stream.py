"""Files as a stream of blocks to redact: lines, of bounded length, the lines of a private key together."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pipeline.errors import ConfigError
from pipeline.redact.pseudonym import failure

MAX_KEY_LINES = 500
_SKIPPED_BYTES = 1 << 16


class Block(NamedTuple):
    """Lines that are redacted together."""

    file: str
    line: int
    """The number of its first line in its file, from 1."""
    text: str
    """With the line ends."""
    withheld: bool = False
    """Whether it stands for a line that is longer than allowed."""


class _Line(NamedTuple):
    number: int
    text: str
    withheld: bool


def blocks(files: Iterable[Path], max_line_bytes: int) -> Iterator[Block]:
    """The blocks of files (`-`: stdin), one after the other. Raises ConfigError."""
    for file in files:
        held: list[str] = []
        first = 1
        for number, text, withheld in _lines(file, max_line_bytes):
            begins = not held and "-----BEGIN" in text and "-----END" not in text
            if begins:
                first = number
            if not held and not begins:
                yield Block(str(file), number, text, withheld)
                continue
            held.append(text)
            if "-----END" in text or len(held) >= MAX_KEY_LINES or sum(map(len, held)) > max_line_bytes:
                yield Block(str(file), first, "".join(held))
                held = []
        if held:
            yield Block(str(file), first, "".join(held))


def _lines(file: Path, max_line_bytes: int) -> Iterator[_Line]:
    if str(file) == "-":
        yield from _of_stream(sys.stdin.buffer, max_line_bytes)
        return
    try:
        with file.open("rb") as stream:
            yield from _of_stream(stream, max_line_bytes)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}; name a file that you can read") from None


def _of_stream(stream: BinaryIO, max_line_bytes: int) -> Iterator[_Line]:
    number = 0
    while raw := stream.readline(max_line_bytes):
        number += 1
        if len(raw) < max_line_bytes or raw.endswith(b"\n"):
            yield _Line(number, raw.decode("utf-8", "replace"), False)
            continue
        length, end = len(raw), b""
        while rest := stream.readline(_SKIPPED_BYTES):
            length += len(rest)
            if rest.endswith(b"\n"):
                end = b"\n"
                break
        yield _Line(number, failure("too_large", length) + end.decode(), True)
