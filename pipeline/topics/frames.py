"""The bytes of a local topic's file: a header, then encrypted frames. No directory is known here.

    header = "AFTOPIC1" ‖ file id (16 random bytes) ‖ u64 first offset ‖ u64 last append time before it (ms)
    frame  = u32 length of the sealed part ‖ u32 count ‖ u64 offset of the first message ‖ mac (8) ‖ sealed
    sealed = AES-256-GCM of the messages; nonce = the frame's number in its file (96 bits);
             associated data = header ‖ u32 partition ‖ u64 offset ‖ u32 count ‖ topic id
    mac    = HMAC-SHA256 of u64 frame number ‖ length ‖ count ‖ offset, first 8 bytes

All integers are big-endian. The two keys of a file are HKDF-SHA256 of the topics' key with the file id as
salt: a file id is never used twice and a closed file is never appended to, so no nonce repeats. The mac
tells a damaged length from a frame that a crash cut short.
"""

import hashlib
import hmac
import struct
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipeline.topics.base import Message
from schemas.record import TimeKind

MAGIC = b"AFTOPIC1"
TAG_BYTES = 16
_MAC_BYTES = 8
_HEADER = struct.Struct(">8s16sQQ")
_FRAME = struct.Struct(">IIQ")
_AAD = struct.Struct(">IQI")
_MESSAGE = struct.Struct(">qBii")
_TIME_KINDS: tuple[TimeKind, ...] = ("append", "create", "event")

HEADER_BYTES = _HEADER.size
FRAME_HEAD_BYTES = _FRAME.size + _MAC_BYTES


class Corrupt(Exception):
    """The bytes are not what was written. The text says how and holds nothing of the messages."""


class FileHeader(NamedTuple):
    """What a file begins with."""

    file_id: bytes
    start: int
    append_floor_ms: int
    """The latest append time before this file: times never go back, whatever the clock does."""

    def encode(self) -> bytes:
        """The header's bytes."""
        return _HEADER.pack(MAGIC, self.file_id, self.start, self.append_floor_ms)

    @classmethod
    def decode(cls, content: bytes) -> "FileHeader":
        """Parse; raises Corrupt."""
        if len(content) < HEADER_BYTES:
            raise Corrupt("its header is cut short")
        magic, file_id, start, floor_ms = _HEADER.unpack_from(content)
        if magic != MAGIC:
            raise Corrupt("it does not start as a topic file of this version")
        return cls(file_id, start, floor_ms)


class FrameHead(NamedTuple):
    """The clear part of a frame, already checked against its mac."""

    length: int
    message_count: int
    offset: int


class FrameCipher:
    """Seals and opens the frames of one file."""

    def __init__(self, topics_key: bytes, header: FileHeader, topic_id: str, partition: int) -> None:
        derived = HKDF(SHA256(), 64, salt=header.file_id, info=b"auditfuse/topic/1").derive(topics_key)
        self._aead = AESGCM(derived[:32])
        self._mac_key = derived[32:]
        self._header = header.encode()
        self._topic_id = topic_id.encode()
        self._partition = partition

    def seal(self, number: int, messages: Sequence[Message]) -> bytes:
        """The bytes of frame `number` holding these messages, whose offsets are consecutive."""
        offset, count = messages[0].offset, len(messages)
        plain = b"".join(_encode_message(message) for message in messages)
        sealed = self._aead.encrypt(_nonce(number), plain, self._associated(offset, count))
        head = _FRAME.pack(len(sealed), count, offset)
        return b"".join((head, self._mac(number, head), sealed))

    def head(self, number: int, content: bytes) -> FrameHead:
        """Parse the first FRAME_HEAD_BYTES of frame `number`; raises Corrupt where they were changed."""
        head, mac = content[: _FRAME.size], content[_FRAME.size : FRAME_HEAD_BYTES]
        if not hmac.compare_digest(mac, self._mac(number, head)):
            raise Corrupt(f"the head of frame {number} was changed, or the topics' key is another one")
        return FrameHead(*_FRAME.unpack(head))

    def open(self, number: int, head: FrameHead, sealed: bytes) -> list[Message]:
        """The messages of a frame; raises Corrupt where anything of it or its place was changed."""
        try:
            associated = self._associated(head.offset, head.message_count)
            plain = self._aead.decrypt(_nonce(number), sealed, associated)
        except InvalidTag:
            raise Corrupt(f"frame {number} (offset {head.offset}) was changed") from None
        return _decode_messages(plain, self._partition, head.offset)

    def _associated(self, offset: int, count: int) -> bytes:
        return b"".join((self._header, _AAD.pack(self._partition, offset, count), self._topic_id))

    def _mac(self, number: int, head: bytes) -> bytes:
        content = number.to_bytes(8, "big") + head
        return hmac.digest(self._mac_key, content, hashlib.sha256)[:_MAC_BYTES]


def encoded_size(key: bytes | None, value: bytes | None) -> int:
    """The bytes that a message takes in a frame."""
    return _MESSAGE.size + len(key or b"") + len(value or b"")


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _encode_message(message: Message) -> bytes:
    key_size = -1 if message.key is None else len(message.key)
    value_size = -1 if message.value is None else len(message.value)
    head = _MESSAGE.pack(message.time_ms, _TIME_KINDS.index(message.time_kind), key_size, value_size)
    return b"".join((head, message.key or b"", message.value or b""))


def _decode_messages(plain: bytes, partition: int, offset: int) -> list[Message]:
    messages: list[Message] = []
    at = 0
    while at < len(plain):
        time_ms, kind, key_size, value_size = _MESSAGE.unpack_from(plain, at)
        at += _MESSAGE.size
        key = None if key_size < 0 else plain[at : at + key_size]
        at += max(key_size, 0)
        value = None if value_size < 0 else plain[at : at + value_size]
        at += max(value_size, 0)
        messages.append(Message(partition, offset, time_ms, _TIME_KINDS[kind], key, value))
        offset += 1
    return messages
