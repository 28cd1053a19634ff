"""Checkpoints judged: batches against the entries that are in the logs now, notes against the batches, and
notes that were kept elsewhere against both.

One pass over the leaves. What is kept is a place in each log, the tree's frontier and the names of notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.audit.checkpoint.note import COSIGNATURE, NoteError, PublicKey, cosigned_at_s
from pipeline.audit.checkpoint.statement import FOLDER, Checkpoint, is_note_name
from pipeline.audit.entries import Entries
from pipeline.audit.log import decode_entry
from pipeline.audit.merkle import Frontier, checkpoint_leaves
from pipeline.audit.store import CHECKPOINT, Store
from pipeline.audit.verify.anchors import ANCHORED, Anchors
from pipeline.audit.verify.covered import SIGNED, CoveredLogs, readable, utc
from pipeline.audit.verify.report import Fault, Note, Verdict
from pipeline.errors import StoreError
from schemas.log_entry import Leaves, LogEntry

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass
class CheckpointOutcome:
    """What was found of both verdicts: faults, notes, what they rest on, and why one was not checked."""

    faults: list[Fault] = field(default_factory=list[Fault])
    notes: list[Note] = field(default_factory=list[Note])
    details: dict[Verdict, list[str]] = field(default_factory=dict[Verdict, list[str]])
    unchecked: dict[Verdict, str] = field(default_factory=dict[Verdict, str])

    def fault(self, verdict: Verdict, how: str, entry: int | None = None) -> None:
        """A fault of the log of checkpoints."""
        self.faults.append(Fault(verdict=verdict, topic_id=CHECKPOINT, partition=0, entry=entry, how=how))

    def note(self, what: str) -> None:
        """Something of the log of checkpoints that is no fault."""
        self.notes.append(Note(topic_id=CHECKPOINT, partition=0, what=what))

    def detail(self, verdict: Verdict, line: str) -> None:
        """What a verdict rests on."""
        self.details.setdefault(verdict, []).append(line)


def check_checkpoints(store: Store, keys: Sequence[PublicKey], anchors: Sequence[bytes]) -> CheckpointOutcome:
    """Judge the verdicts *checkpoints signed and consistent* and *anchored up to*.

    `keys` are the public keys to trust, of the log and of witnesses; without one no signature is checked.
    `anchors` are the notes that were kept outside of the store; without one nothing is said of its tail.
    Takes time in proportion to the log entries. Raises OSError where the store cannot be read.
    """
    outcome = CheckpointOutcome()
    check = _Check(store, keys, Anchors(anchors, keys, outcome.fault), outcome)
    check.run()
    return outcome


class _Check:
    """One pass over the batches, in order."""

    def __init__(
        self, store: Store, keys: Sequence[PublicKey], anchors: Anchors, outcome: CheckpointOutcome
    ) -> None:
        self._store = store
        self._keys = keys
        self._anchors = anchors
        self._outcome = outcome
        self._logs = CoveredLogs(store, outcome.faults)
        self._tree = Frontier()
        self._origin: str | None = None
        self._claim = (0, "")
        self._last_ms = 0
        self._last_n = -1
        self._names = self._note_names()
        self._signed: Checkpoint | None = None
        """The newest checkpoint that holds, with the most signatures."""
        self._unsigned: list[int] = []
        """Batches without a note."""

    def run(self) -> None:
        """Judge everything, then say what it rests on."""
        names = iter(self._names)
        waiting = next(names, None)
        for batch in self._batches():
            own_name, found = f"{self._tree.size:020d}-{self._tree.root().hex()[:16]}.note", False
            while waiting is not None and _size(waiting) <= self._tree.size:
                self._check_note(waiting, batch)
                found |= waiting == own_name
                waiting = next(names, None)
            if not found:
                self._unsigned.append(batch.n)
            self._anchors.compare(self._tree, batch, self._logs.counts)
        while waiting is not None:
            self._check_note(waiting, None)
            waiting = next(names, None)
        self._anchors.finish(self._tree)
        self._conclude()

    def _batches(self) -> Iterator[LogEntry]:
        """The batches, each once its leaves were judged and are in the tree."""
        for n, content in enumerate(readable(Entries(self._store, CHECKPOINT, 0), 0)):
            try:
                entry = decode_entry(content, f"{CHECKPOINT}/0/{n:012d}")
            except StoreError:
                self._outcome.fault(SIGNED, "cannot be read: what follows it is not judged", n)
                return
            if entry.kind == "claim" and entry.role != "maintenance":
                self._claim = (entry.epoch, entry.writer)
            elif entry.kind == "batch":
                if not self._add(entry):
                    return
                yield entry

    def _add(self, batch: LogEntry) -> bool:
        """Judge a batch and grow the tree by it. False where its leaves cannot be read."""
        if (batch.epoch, batch.writer) != self._claim:
            self._outcome.fault(SIGNED, "is not by the latest writer claim", batch.n)
        if not batch.origin or (self._origin is not None and batch.origin != self._origin):
            self._outcome.fault(SIGNED, f"is for another log than {self._origin}", batch.n)
        if batch.at_ms < self._last_ms:
            self._outcome.note(
                f"entry {batch.n} is {self._last_ms - batch.at_ms} ms older than the one before"
            )
        self._origin, self._last_ms, self._last_n = self._origin or batch.origin, batch.at_ms, batch.n
        for leaves in batch.leaves:
            if not leaves.hashes or not all(_HASH.fullmatch(one) for one in leaves.hashes):
                self._outcome.fault(
                    SIGNED, "holds leaves that are no hashes: the rest is not judged", batch.n
                )
                return False
            self._check_leaves(batch, leaves)
            self._tree = self._tree.grown(checkpoint_leaves(leaves))
        if (batch.size, batch.root) != (self._tree.size, self._tree.root().hex()):
            self._outcome.fault(SIGNED, "states another size or root than its leaves give", batch.n)
        return True

    def _check_leaves(self, batch: LogEntry, leaves: Leaves) -> None:
        place = (leaves.topic_id, leaves.partition)
        expected_n = self._logs.counts.get(place, 0)
        if leaves.topic_id == CHECKPOINT or leaves.first_n != expected_n:
            how = f"goes on at entry {leaves.first_n} of {place[0]}/{place[1]}, where {expected_n} was next"
            self._outcome.fault(SIGNED, how, batch.n)
        self._logs.check(leaves, batch.size or 0)

    def _note_names(self) -> list[str]:
        names = self._store.objects.names(FOLDER)
        for stranger in names:
            if not is_note_name(stranger):
                self._outcome.note(f"{stranger} in {FOLDER}/ is no checkpoint")
        return [name for name in names if is_note_name(name)]

    def _check_note(self, name: str, batch: LogEntry | None) -> None:
        """Judge a note against the batch whose tree it should be of."""
        try:
            checkpoint = Checkpoint.parse(self._store.objects.read(f"{FOLDER}/{name}"))
            statement = checkpoint.statement
            if name not in (statement.file_name, checkpoint.cosigned_file_name):
                raise NoteError("it is not called what it states")
            if batch is None or (statement.size, statement.root) != (self._tree.size, self._tree.root()):
                raise NoteError(f"no batch has made its tree of {statement.size} entries and this root")
            if (statement.origin, statement.at_ms) != (batch.origin, batch.at_ms):
                raise NoteError("it has another origin or time than its batch")
            signers = checkpoint.note.signers(self._keys)
            if self._keys and not any(key.signs_log(statement.origin) for key in signers):
                raise NoteError(f"no trusted key has signed it, but {_labels(checkpoint)}")
        except NoteError as error:
            self._outcome.fault(SIGNED, f"checkpoint {name}: {error}", batch.n if batch else None)
            return
        if self._signed is None or _rank(checkpoint) > _rank(self._signed):
            self._signed = checkpoint

    def _conclude(self) -> None:
        outcome, size = self._outcome, self._tree.size
        if not size and not self._names:
            outcome.unchecked[SIGNED] = (
                "there is no checkpoint: auditfuse run signs one a minute, auditfuse checkpoint now at once"
            )
        elif not self._keys:
            outcome.unchecked[SIGNED] = "the signatures, as no public key was given; the trees are consistent"
        elif self._signed is None:
            outcome.fault(SIGNED, f"no checkpoint over its {size} entries is signed")
        self._conclude_unsigned()
        if self._signed is not None:
            self._describe(self._signed)
        self._conclude_anchors()

    def _conclude_unsigned(self) -> None:
        """A batch is signed before the next one is made, and before its checkpoint leaves the store."""
        outcome = self._outcome
        for n in self._unsigned:
            anchored = self._anchors.newest is not None and self._anchors.newest.size >= self._tree.size
            if n != self._last_n or anchored:
                outcome.fault(SIGNED, "the checkpoint of this batch is gone: it was deleted", n)
            else:
                outcome.note(
                    f"the newest batch, entry {n}, has no checkpoint: it was deleted, or the sequencer "
                    "stopped before it signed"
                )

    def _conclude_anchors(self) -> None:
        anchors, outcome = self._anchors, self._outcome
        why = anchors.unchecked()
        if why is not None:
            outcome.unchecked[ANCHORED] = why
        if anchors.others:
            outcome.note(f"{anchors.others} of the anchors are of other logs")
        if anchors.newest is not None:
            outcome.detail(
                ANCHORED,
                f"{anchors.newest.size:,} log entries up to {utc(anchors.newest.at_ms)}; "
                + self._logs.describe_open(anchors.counts),
            )

    def _describe(self, checkpoint: Checkpoint) -> None:
        statement = checkpoint.statement
        behind = self._logs.describe_open(self._logs.counts)
        self._outcome.detail(
            SIGNED,
            f"{statement.size:,} log entries up to {utc(statement.at_ms)}, as {statement.origin}; {behind}",
        )
        for key in checkpoint.note.signers(self._keys):
            times = [cosigned_at_s(one.raw) for one in checkpoint.note.signatures if one.key_id == key.key_id]
            seen = f", seen {utc((times[0] or 0) * 1000)}" if key.algorithm == COSIGNATURE else ""
            self._outcome.detail(SIGNED, f"signed by {key.label}{seen}")


def _rank(checkpoint: Checkpoint) -> tuple[int, int]:
    return checkpoint.statement.size, len(checkpoint.note.signatures)


def _size(name: str) -> int:
    return int(name[:20])


def _labels(checkpoint: Checkpoint) -> str:
    return ", ".join(f"{one.name}+{one.key_id.hex()}" for one in checkpoint.note.signatures)
