"""Reading a local topic: one file's frames, and a partition from file to file. All of it blocks."""

import os
from collections import deque

from pipeline.errors import TopicError
from pipeline.topics import frames
from pipeline.topics.base import Message, OffsetOutOfRange
from pipeline.topics.frames import Corrupt, FileHeader, FrameHead
from pipeline.topics.local_files import WAY_OUT, TopicDirectory, TopicFile


class FileReader:
    """Reads one file's frames in order. `offset` is that of the next frame."""

    def __init__(self, directory: TopicDirectory, partition: int, file: TopicFile) -> None:
        self.file = file
        self._descriptor = os.open(file.path, os.O_RDONLY)
        try:
            self.header = FileHeader.decode(os.pread(self._descriptor, frames.HEADER_BYTES, 0))
            if self.header.start != file.start:
                raise Corrupt("its name and its header disagree")
        except Corrupt as error:
            os.close(self._descriptor)
            raise self._damaged(error) from None
        self.offset = self.header.start
        self._cipher = directory.cipher(self.header, partition)
        self._position = frames.HEADER_BYTES
        self._number = 0

    def next_frame(self, from_offset: int = 0) -> list[Message] | None:
        """The messages of the next whole frame, None at the end. Frames below `from_offset` are passed
        over undecrypted."""
        try:
            while head := self._head():
                if head.offset + head.message_count > from_offset:
                    return self._open(head)
                self._advance(head)
        except Corrupt as error:
            raise self._damaged(error) from None
        return None

    def skip_to_end(self) -> int:
        """Pass over all whole frames; returns the offset after the last."""
        self.next_frame(from_offset=1 << 63)
        return self.offset

    def sync(self) -> None:
        """Make durable what is read: a crashed producer may have left it in the page cache alone."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)

    def _head(self) -> FrameHead | None:
        raw = os.pread(self._descriptor, frames.FRAME_HEAD_BYTES, self._position)
        if len(raw) < frames.FRAME_HEAD_BYTES:
            return None
        if not any(raw) and self._zeros_follow():
            return None
        head = self._cipher.head(self._number, raw)
        if head.offset != self.offset:
            raise Corrupt(f"frame {self._number} has another offset than its place says")
        return None if self._is_torn(head) else head

    def _open(self, head: FrameHead) -> list[Message]:
        sealed = os.pread(self._descriptor, head.length, self._position + frames.FRAME_HEAD_BYTES)
        messages = self._cipher.open(self._number, head, sealed)
        self._advance(head)
        return messages

    def _is_torn(self, head: FrameHead) -> bool:
        """Cut short, or its end never reached the disk and reads as zeros, which no tag is."""
        frame_end = self._position + frames.FRAME_HEAD_BYTES + head.length
        size = os.fstat(self._descriptor).st_size
        if frame_end < size:
            return False
        tag = os.pread(self._descriptor, frames.TAG_BYTES, frame_end - frames.TAG_BYTES)
        return frame_end > size or not any(tag)

    def _advance(self, head: FrameHead) -> None:
        self._position += frames.FRAME_HEAD_BYTES + head.length
        self._number += 1
        self.offset = head.offset + head.message_count

    def _zeros_follow(self) -> bool:
        """After a power cut a file may be longer than what reached it: then its rest reads as zeros."""
        at = self._position
        while chunk := os.pread(self._descriptor, 1 << 20, at):
            if any(chunk):
                return False
            at += len(chunk)
        return True

    def _damaged(self, error: Corrupt) -> TopicError:
        return TopicError(f"{self.file.path} is damaged: {error}. {WAY_OUT}")


class PartitionReader:
    """Reads a partition from an offset on, from file to file. `offset` is that of the next message."""

    def __init__(self, directory: TopicDirectory, partition: int, offset: int) -> None:
        self.offset = offset
        self._directory = directory
        self._partition = partition
        self._reader: FileReader | None = None
        self._ahead: deque[Message] = deque()

    def read(self, max_messages: int, max_bytes: int, acknowledged_end: int | None) -> list[Message]:
        """The next messages. `acknowledged_end` is known where the producer runs in this process:
        nothing at or beyond it is delivered, everything below it must be there."""
        messages: list[Message] = []
        size = 0
        while len(messages) < max_messages and size < max_bytes:
            if not self._ahead and not self._fill(acknowledged_end):
                break
            message = self._ahead.popleft()
            self.offset = message.offset + 1
            size += frames.encoded_size(message.key, message.value)
            messages.append(message)
        return messages

    def unread(self, messages: list[Message]) -> None:
        """Take messages back that could not be delivered; the next read gives them again."""
        self._ahead.extendleft(reversed(messages))
        self.offset = messages[0].offset

    def close(self) -> None:
        """Give the open file back."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _fill(self, acknowledged_end: int | None) -> bool:
        if acknowledged_end is not None and self.offset >= acknowledged_end:
            if self.offset > acknowledged_end:
                raise OffsetOutOfRange(self._partition, self.offset)
            return False
        messages = self._next_frame()
        if messages is None:
            if acknowledged_end is not None:
                folder = self._directory.path / str(self._partition)
                raise TopicError(f"{folder} lacks acknowledged messages from offset {self.offset}. {WAY_OUT}")
            return False
        self._ahead.extend(message for message in messages if message.offset >= self.offset)
        return True

    def _next_frame(self) -> list[Message] | None:
        reader = self._reader or self._open_at_offset()
        while (messages := reader.next_frame(self.offset)) is None:
            successor = self._successor(reader.file)
            if successor is None:
                if reader.offset < self.offset:
                    raise OffsetOutOfRange(self._partition, self.offset)
                return None
            # The producer may have finished the frame between the two looks.
            if (messages := reader.next_frame(self.offset)) is not None:
                break
            if reader.offset < self._directory.files(self._partition)[0].start:
                raise OffsetOutOfRange(self._partition, self.offset)  # deleted under the reader
            if reader.offset != successor.start:
                raise TopicError(f"{reader.file.path} lacks messages from offset {reader.offset}. {WAY_OUT}")
            reader.close()
            self._reader = None
            self._reader = reader = FileReader(self._directory, self._partition, successor)
        return messages

    def _open_at_offset(self) -> FileReader:
        for file in reversed(self._directory.files(self._partition)):
            if file.start <= self.offset:
                try:
                    self._reader = FileReader(self._directory, self._partition, file)
                except FileNotFoundError:  # deleted since the listing: it held what was sealed
                    break
                return self._reader
        raise OffsetOutOfRange(self._partition, self.offset)

    def _successor(self, file: TopicFile) -> TopicFile | None:
        return next((f for f in self._directory.files(self._partition) if f.number > file.number), None)
