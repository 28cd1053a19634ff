"""The directory of a local topic: which files each partition has. All of it blocks.

    <topics>/<name>/topic.json                        {"topic_id": …, "partitions": N}
    <topics>/<name>/<partition>/<number, 8>-<first offset, 20>.frames
    <topics>/<name>/producer.lock

Files are read in the order of their numbers. A frame that a crash cut short was never acknowledged: it may
end a file, and then the next file starts at the very offset where that frame began. Anything else that is
not as written is a TopicError that names the file.
"""

import itertools
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from pipeline import durable
from pipeline.errors import TopicError
from pipeline.topics.frames import FileHeader, FrameCipher

KEY_NAME = "topics"
"""The key that the keys of all local topics' files are derived from."""
_FILE_NAME = re.compile(r"(\d{8})-(\d{20})\.frames")
_TOPIC_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")
WAY_OUT = "Restore it from a backup, or move the topic's directory away: a new topic id then begins."


class LocalTopicsConfig(BaseModel):
    """Topics on this machine's disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Path("auditfuse-data/topics")
    """The directory of all local topics; each takes a directory in it."""
    partitions: int = Field(default=4, ge=1, le=1024)
    """Partitions of a topic that is made now; one that exists keeps its own."""
    max_file_bytes: int = Field(default=64 * 1024 * 1024, ge=4096)
    """A file takes no more appends beyond this size; what is sealed is deleted file by file."""
    max_frame_bytes: int = Field(default=1024 * 1024, ge=1024)
    """Messages are encrypted together up to this size; a larger message has a frame of its own."""
    max_message_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    """Larger messages are refused."""
    max_poll_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    """A poll returns no more than about this, whatever number of messages it may return."""
    watch_interval_ms: int = Field(default=200, ge=1)
    """How often a consumer looks for messages of a producer in another process."""


class _TopicJson(msgspec.Struct, forbid_unknown_fields=True):
    topic_id: str
    partitions: int


class TopicFile(NamedTuple):
    """A file of a partition: its number and the offset of its first message."""

    number: int
    start: int
    path: Path


class TopicDirectory:
    """One topic's directory and the key of its files."""

    def __init__(self, path: Path, topic_id: str, partitions: int, key: bytes) -> None:
        self.path = path
        self.topic_id = topic_id
        self.partitions = partitions
        self._key = key

    @classmethod
    def open(cls, topics: Path, name: str, partitions: int, key: bytes) -> "TopicDirectory":
        """Open the topic, or make it with that many partitions and a new topic id where there is none."""
        if not _TOPIC_NAME.fullmatch(name):
            raise TopicError(f"{name!r} cannot name a topic: use letters, digits, '.', '_' and '-'")
        path = topics / name
        if not path.exists():
            _create(topics, name, partitions)
        try:
            content = msgspec.json.decode((path / "topic.json").read_bytes(), type=_TopicJson)
        except (OSError, msgspec.MsgspecError):
            raise TopicError(f"{path / 'topic.json'} is missing or damaged. {WAY_OUT}") from None
        return cls(path, content.topic_id, content.partitions, key)

    def files(self, partition: int) -> list[TopicFile]:
        """The partition's files in order: at least one, since the newest is never deleted."""
        folder = self.path / str(partition)
        names = os.listdir(folder) if folder.is_dir() else []  # noqa: PTH208 (names alone are needed)
        found = sorted(
            TopicFile(int(match[1]), int(match[2]), folder / name)
            for name in names
            if (match := _FILE_NAME.fullmatch(name))
        )
        if not found:
            # Offsets would begin anew under the old topic id: rows would share an identity.
            raise TopicError(f"{folder} has lost its files. {WAY_OUT}")
        return found

    def create_file(self, partition: int, number: int, start: int, append_floor_ms: int) -> "NewFile":
        """Begin the partition's next file; its name is durable on return."""
        path = self.path / str(partition) / _file_name(number, start)
        header = FileHeader(secrets.token_bytes(16), start, append_floor_ms)
        durable.replace_atomically(path, header.encode(), 0o600)
        return NewFile(path, self.cipher(header, partition))

    def cipher(self, header: FileHeader, partition: int) -> FrameCipher:
        """What seals and opens the frames of a file with this header."""
        return FrameCipher(self._key, header, self.topic_id, partition)

    def delete_below(self, partition: int, end: int) -> None:
        """Delete the files whose messages all lie below `end`, oldest first; never the newest."""
        found = self.files(partition)
        removable = [old for old, successor in itertools.pairwise(found) if successor.start <= end]
        for old in removable:
            durable.remove(old.path)
        if removable:
            durable.sync_directory(self.path / str(partition))


class NewFile(NamedTuple):
    """A file to append to."""

    path: Path
    cipher: FrameCipher


def _create(topics: Path, name: str, partitions: int) -> None:
    """Make the whole directory aside and give it its name in one step."""
    durable.make_directory(topics, 0o700)
    aside = topics / f".{name}.{secrets.token_hex(8)}"
    topic_id = f"{name}.{secrets.token_hex(16)}"
    for partition in range(partitions):
        durable.make_directory(aside / str(partition), 0o700)
        header = FileHeader(secrets.token_bytes(16), 0, 0)
        durable.write_synced(aside / str(partition) / _file_name(0, 0), header.encode(), 0o600)
        durable.sync_directory(aside / str(partition))
    content = msgspec.json.encode(_TopicJson(topic_id, partitions))
    durable.write_synced(aside / "topic.json", content, 0o600)
    durable.sync_directory(aside)
    try:
        os.rename(aside, topics / name)  # noqa: PTH104 (by attribute: crash tests)
    except OSError:
        shutil.rmtree(aside)
        if not (topics / name).exists():
            raise
    durable.sync_directory(topics)


def _file_name(number: int, start: int) -> str:
    return f"{number:08d}-{start:020d}.frames"
