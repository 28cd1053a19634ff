"""Event files as messages: what `auditfuse ingest` reads. Plain or gzip, one pass, bounded memory."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

from pipeline.errors import AuditfuseError, ConfigError

if TYPE_CHECKING:
    from pipeline.decode.sources import Format  # every command line reads this file: no decoder for that

FileFormat = Literal["events", "otlp-json", "otlp-proto"]

GZIP_MAGIC = b"\x1f\x8b"
HEAD_BYTES = 4096
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""A longer line or frame ends the reading: it is no event file."""
_LENGTH = struct.Struct(">I")


def guess_format(path: Path) -> tuple[FileFormat, Format]:
    """What a file holds, by its first bytes: native events, OTLP as JSON lines, or OTLP protobuf frames."""
    with open_file(path) as file:
        head = file.read(HEAD_BYTES)
    text = head.lstrip()
    if not text.startswith((b"{", b"[")):
        kind: Format = "otlp_logs" if b"log" in path.name.encode() else "otlp_spans"
        return "otlp-proto", kind
    if b'"resourceSpans"' in head:
        return "otlp-json", "otlp_spans"
    if b'"resourceLogs"' in head:
        return "otlp-json", "otlp_logs"
    return "events", "events"


def read_messages(path: Path, file_format: FileFormat) -> Iterator[bytes]:
    """Each message of the file in order: a line, or a protobuf frame with a 4-byte big-endian length
    before it (as the OpenTelemetry Collector's file exporter writes). Raises ConfigError where the file
    cannot be opened, AuditfuseError where it breaks off."""
    with open_file(path) as file:
        try:
            yield from _frames(path, file) if file_format == "otlp-proto" else _lines(path, file)
        except (EOFError, gzip.BadGzipFile) as error:
            raise AuditfuseError(
                f"{path}: the gzip stream is damaged ({error}); fetch the file again"
            ) from None


def open_file(path: Path) -> BinaryIO:
    """The file's content, unpacked if it is gzip."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}; check the path and its permissions"
        ) from None
    magic = file.read(2)
    file.seek(0)
    return cast(BinaryIO, gzip.open(file)) if magic == GZIP_MAGIC else file


def _lines(path: Path, file: BinaryIO) -> Iterator[bytes]:
    number = 0
    while line := file.readline(MAX_MESSAGE_BYTES):
        number += 1
        if len(line) == MAX_MESSAGE_BYTES:
            raise AuditfuseError(
                f"{path}: line {number} is longer than {MAX_MESSAGE_BYTES} bytes; is it NDJSON?"
            )
        if line.strip():
            yield line.rstrip(b"\r\n")


def _frames(path: Path, file: BinaryIO) -> Iterator[bytes]:
    position = 0
    while header := file.read(_LENGTH.size):
        length = _LENGTH.unpack(header)[0] if len(header) == _LENGTH.size else MAX_MESSAGE_BYTES + 1
        content = file.read(length) if length <= MAX_MESSAGE_BYTES else b""
        if len(content) != length:
            raise AuditfuseError(
                f"{path}: the frame at byte {position} is cut short; "
                "each message needs a 4-byte big-endian length before it"
            )
        position += _LENGTH.size + length
        yield content
