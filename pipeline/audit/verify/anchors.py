"""Notes that were kept outside of the store, against the trees that the store's batches make.

Only they show that a store was cut at its tail, rolled back, or made anew as a whole.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipeline.audit.checkpoint.note import NoteError, PublicKey
from pipeline.audit.checkpoint.statement import Checkpoint, Statement
from pipeline.audit.merkle import Frontier
from pipeline.audit.verify.covered import Place, utc
from pipeline.audit.verify.report import Verdict
from pipeline.errors import ConfigError
from schemas.log_entry import LogEntry

ANCHORED: Verdict = "anchored up to"
MAX_FILE_BYTES = 64 * 1024 * 1024
_SIGNATURE = "— ".encode()

Tell = Callable[[Verdict, str], None]


def read_anchors(sources: Sequence[str]) -> list[bytes]:
    """The notes of each source: a directory of `.note` files, a file with one or more notes (with an empty
    line between them), or `-` for standard input. Raises ConfigError."""
    return [note for source in sources for note in _read(source)]


def _read(source: str) -> list[bytes]:
    if source == "-":
        return split_notes(sys.stdin.buffer.read(MAX_FILE_BYTES))
    path = Path(source)
    try:
        if path.is_dir():
            found = [one.read_bytes() for one in sorted(path.glob("*.note"))]
        else:
            found = split_notes(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"anchor {source} cannot be read: {error.strerror}") from None
    if not found:
        raise ConfigError(f"anchor {source} holds no checkpoint")
    return found


def split_notes(content: bytes) -> list[bytes]:
    """The notes in one file: what follows a signature and is none begins the next one."""
    notes: list[list[bytes]] = [[]]
    for line in content.splitlines(keepends=True):
        if notes[-1] and notes[-1][-1].startswith(_SIGNATURE) and not line.startswith(_SIGNATURE):
            notes.append([])
        if line.strip() or notes[-1]:
            notes[-1].append(line if line.endswith(b"\n") else line + b"\n")
    return [b"".join(lines) for lines in notes if lines]


class Anchors:
    """The anchors given, compared with the tree as it grows."""

    def __init__(self, contents: Sequence[bytes], keys: Sequence[PublicKey], fault: Tell) -> None:
        self._given = len(contents)
        self._keys = keys
        self._fault = fault
        self._waiting: dict[int, set[Statement]] = {}
        self.others = 0
        """Notes of other logs."""
        self.newest: Statement | None = None
        """The anchor of the largest tree that is the store's."""
        self.counts: Mapping[Place, int] = {}
        """(topic id, partition) → entries that the newest anchor covers."""
        for content in contents:
            self._add(content)

    def _add(self, content: bytes) -> None:
        try:
            checkpoint = Checkpoint.parse(content)
            statement = checkpoint.statement
            if self._keys and statement.origin not in {key.name for key in self._keys}:
                self.others += 1
                return
            signers = checkpoint.note.signers(self._keys)
            if self._keys and not any(key.signs_log(statement.origin) for key in signers):
                raise NoteError("no trusted key has signed it")
        except NoteError as error:
            self._fault(ANCHORED, f"an anchor proves nothing: {error}")
            return
        self._waiting.setdefault(statement.size, set()).add(statement)

    def compare(self, tree: Frontier, batch: LogEntry, counts: Mapping[Place, int]) -> None:
        """Judge the anchors of this size."""
        for statement in sorted(self._waiting.pop(tree.size, ()), key=lambda one: one.text):
            if statement.root != tree.root():
                self._fault(
                    ANCHORED, f"{_named(statement)} is of another tree: the store was forked or rebuilt"
                )
            elif statement.origin != batch.origin:
                self._fault(ANCHORED, f"{_named(statement)} is of {statement.origin}, not of {batch.origin}")
            else:
                self.newest, self.counts = statement, dict(counts)

    def finish(self, tree: Frontier) -> None:
        """Judge the anchors of sizes that the tree never had."""
        for size in sorted(self._waiting):
            for statement in self._waiting[size]:
                how = (
                    f"the store has {tree.size:,}: it was cut at its tail, rolled back or made anew"
                    if size > tree.size
                    else "no batch of the store ends there: it was forked or made anew"
                )
                self._fault(ANCHORED, f"{_named(statement)} covers {size:,} entries; {how}")
        if self._given and self.others == self._given:
            self._fault(ANCHORED, "no anchor is of a log that the trusted keys sign")

    def unchecked(self) -> str | None:
        """Why the verdict was not checked; None where it was."""
        if not self._given:
            return (
                "no checkpoint from outside the store was given (--anchor): a tail that was cut off, an "
                "older copy put back or a trail made anew would not show"
            )
        return None if self._keys else "the anchor's signature, as no public key was given (--key)"


def _named(statement: Statement) -> str:
    return f"the anchor of {utc(statement.at_ms)}"
