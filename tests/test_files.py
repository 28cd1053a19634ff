"""Event files: what is in them is found out, whole messages come out, and damage is said clearly."""

import gzip
import struct
from pathlib import Path

import pytest

from pipeline.errors import AuditfuseError, ConfigError
from pipeline.files import guess_format, read_messages


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"agent_id":"a"}\n', ("events", "events")),
        (b'{"resourceSpans":[]}\n', ("otlp-json", "otlp_spans")),
        (b'{"resourceLogs":[]}\n', ("otlp-json", "otlp_logs")),
        (b"\x00\x00\x00\x02\x0a\x00", ("otlp-proto", "otlp_spans")),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_content_decides_the_format(
    tmp_path: Path, content: bytes, expected: object, packed: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content) if packed else content)
    assert guess_format(path) == expected


def test_lines_come_out_whole_without_their_ends(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b'{"a":1}\r\n\n  \n{"b":2}\n{"c":3}')
    assert list(read_messages(path, "events")) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


def test_protobuf_frames_come_out_whole(tmp_path: Path) -> None:
    path = tmp_path / "traces.bin"
    path.write_bytes(b"".join(struct.pack(">I", len(part)) + part for part in (b"one", b"", b"three")))
    assert list(read_messages(path, "otlp-proto")) == [b"one", b"", b"three"]


@pytest.mark.parametrize("cut", [1, 5])
def test_a_frame_that_is_cut_short_is_told_with_its_place(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "traces.bin"
    whole = struct.pack(">I", 3) + b"one"
    path.write_bytes(whole + (struct.pack(">I", 9) + b"two")[:cut])
    messages = read_messages(path, "otlp-proto")
    assert next(messages) == b"one"
    with pytest.raises(AuditfuseError, match=f"byte {len(whole)} is cut short"):
        next(messages)


def test_a_damaged_gzip_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson.gz"
    path.write_bytes(gzip.compress(b'{"a":1}\n' * 5000)[:-20])
    with pytest.raises(AuditfuseError, match="gzip stream is damaged"):
        list(read_messages(path, "events"))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        guess_format(tmp_path / "nothing")
