"""What a checkpoint states, as the text of a note (C2SP tlog-checkpoint), and its file's name. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from pipeline.audit.checkpoint.note import NoteError, SignedNote

FOLDER = "checkpoints"
MAX_SIZE = 2**63 - 1
_NAME = re.compile(r"(\d{20})-([0-9a-f]{16})(?:-([0-9a-f]{16}))?\.note")
_DECIMAL = re.compile(r"0|[1-9]\d{0,18}")
_TIME = "time "


@dataclass(frozen=True, slots=True)
class Statement:
    """The log of this name has so many leaves, and this root over them."""

    origin: str
    size: int
    root: bytes
    """32 bytes."""
    extensions: tuple[str, ...] = ()

    @classmethod
    def of(cls, origin: str, size: int, root: bytes, at_ms: int) -> Statement:
        """What the sequencer signs after a batch of that time."""
        return cls(origin, size, root, (f"{_TIME}{at_ms}",))

    @classmethod
    def parse(cls, text: str) -> Statement:
        """Raises NoteError where the text has another spelling than ours would have."""
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() or not all(lines):
            raise NoteError("a checkpoint is at least three lines: origin, size, root")
        origin, size, root, *extensions = lines
        content = _root(root)
        if not _DECIMAL.fullmatch(size) or int(size) > MAX_SIZE:
            raise NoteError("a checkpoint's size is not a number")
        return cls(origin, int(size), content, tuple(extensions))

    @property
    def text(self) -> str:
        """The text that is signed."""
        root = base64.b64encode(self.root).decode()
        return "".join(f"{line}\n" for line in (self.origin, self.size, root, *self.extensions))

    @property
    def at_ms(self) -> int | None:
        """When the batch was made, by the sequencer's clock; None where the statement does not say."""
        for line in self.extensions:
            if line.startswith(_TIME) and _DECIMAL.fullmatch(line.removeprefix(_TIME)):
                return int(line.removeprefix(_TIME))
        return None

    @property
    def file_name(self) -> str:
        """The file of the note that the sequencer signs."""
        return f"{self.size:020d}-{self.root.hex()[:16]}.note"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed note and what it states."""

    note: SignedNote
    statement: Statement

    @classmethod
    def parse(cls, content: bytes) -> Checkpoint:
        """Raises NoteError. Nothing is verified."""
        note = SignedNote.parse(content)
        return cls(note, Statement.parse(note.text))

    @property
    def cosigned_file_name(self) -> str:
        """The file of a note that has more signatures than the sequencer's: the same tree, other bytes."""
        content = hashlib.sha256(self.note.encode()).hexdigest()[:16]
        return f"{self.statement.size:020d}-{self.statement.root.hex()[:16]}-{content}.note"


def is_note_name(name: str) -> bool:
    """Whether a file of this name may lie in `checkpoints/`."""
    return _NAME.fullmatch(name) is not None


def _root(text: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        content = b""
    if len(content) != 32 or base64.b64encode(content).decode() != text:
        raise NoteError("a checkpoint's root is not 32 bytes in base64")
    return content
