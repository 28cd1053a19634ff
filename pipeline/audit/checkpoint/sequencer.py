"""The sequencer: puts the log entries of all partitions in one order, and signs the tree over them.

It holds the writer claim of `_checkpoint/0`. A batch entry fixes the next leaves; then the tree is signed.
The signature follows from the batch alone, so recovery signs the same tree again.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Generator, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import structlog

from pipeline import durable, metrics
from pipeline.audit.checkpoint.note import NoteError, SigningKey, sign_note
from pipeline.audit.checkpoint.signed import SignedTree
from pipeline.audit.checkpoint.statement import FOLDER, Checkpoint, Statement
from pipeline.audit.checkpoint.uncovered import Uncovered
from pipeline.audit.log import PartitionLog, PartitionState, decode_entry
from pipeline.audit.merkle import checkpoint_leaves
from pipeline.audit.store import CHECKPOINT, Store
from pipeline.clock import NowMs
from pipeline.errors import StoreError
from pipeline.file_lock import file_lock
from schemas.log_entry import LogEntry

LEASE_INTERVALS = 3
"""Another host takes over when entries have waited so many intervals and no batch came."""
TURN_WAIT_S = 30.0

log = structlog.get_logger()
KeysOf = Callable[[str | None], Sequence[SigningKey]]
"""The keys that sign for a log of this origin; None: there is no log yet."""


class Pass(NamedTuple):
    """What one pass did."""

    batches: int = 0
    leaves: int = 0
    newest: Checkpoint | None = None
    """The newest checkpoint; None where there is none, or another host makes them."""


class Sequencer:
    """Makes the checkpoints of one store. One thread at a time; processes of one host take turns."""

    def __init__(self, store: Store, keys: KeysOf, state: Path, *, interval_s: float, now_ms: NowMs) -> None:
        """`state` is this host's directory, outside the store: who it is to the log lies there."""
        self._store = store
        self._keys = keys
        self._state = state
        self._lease_ms = LEASE_INTERVALS * interval_s * 1000
        self._now_ms = now_ms
        # Its snapshot lies with the state: one within the store could be made to say anything.
        self._log = PartitionLog(Store(state, store.objects), CHECKPOINT, 0)
        self._uncovered = Uncovered(store)
        self._signed: SignedTree | None = None
        """The largest tree this host has signed, once it was found in the log."""
        self._seen_n = -1
        self._quiet_from_ms = 0
        """Since when another host's log has not grown though it had to, by this host's clock."""
        self._own: LogEntry | None = None
        """The last batch of this process: its leaves were just read from the logs."""
        self._newest: Checkpoint | None = None

    def run_once(self, *, take_over: bool = False, stopping: Callable[[], bool] = lambda: False) -> Pass:
        """Sign what is not signed, then batch and sign until nothing waits or `stopping()`.

        Another host that makes checkpoints is left alone while it does, unless `take_over`. Safe to call
        again after any error. Raises ConfigError (keys), StoreError, OSError.
        """
        with self._turn() as writer_id:
            state = self._log.refresh()
            self._require_continuation()
            self._uncovered.look_back(state)
            waits = self._uncovered.is_any(state)
            metrics.checkpoint_left_out.set(len(self._uncovered.left_out))
            if not waits:
                self._quiet_from_ms = self._now_ms()
            if state.writer != writer_id and not (waits and self._may_claim(state, take_over)):
                self._seen_n = state.next_n
                return Pass()
            keys = self._keys(state.origin)
            if state.writer != writer_id:
                self._claim(writer_id)
            return self._batch_all(writer_id, keys, stopping)

    def _batch_all(self, writer_id: str, keys: Sequence[SigningKey], stopping: Callable[[], bool]) -> Pass:
        batches = leaves = 0
        self._sign_newest(keys)
        while not stopping():
            before = self._log.state.tree.size
            if not self._append_batch(writer_id, keys):
                break
            self._sign_newest(keys)
            batches += 1
            leaves += self._log.state.tree.size - before
        with contextlib.suppress(OSError):  # a cache
            self._log.save_snapshot()
        return Pass(batches, leaves, self._newest)

    def _append_batch(self, writer_id: str, keys: Sequence[SigningKey]) -> bool:
        """Fix the next leaves, once every batch before is signed. False where nothing waits, or another
        host has claimed the log."""
        while True:
            state = self._log.refresh()
            if state.writer != writer_id:
                log.info("another host makes the checkpoints now", epoch=state.epoch)
                return False
            self._sign_newest(keys)
            leaves = list(self._uncovered.next_leaves(state))
            if not leaves:
                return False
            tree = state.tree
            for part in leaves:
                tree = tree.grown(checkpoint_leaves(part))
            entry = self._log.next_entry(
                "batch",
                at_ms=self._now_ms(),
                writer=writer_id,
                epoch=state.epoch,
                origin=keys[0].name,
                leaves=leaves,
                size=tree.size,
                root=tree.root().hex(),
            )
            if self._log.try_append(entry):
                self._own = entry
                return True

    def _sign_newest(self, keys: Sequence[SigningKey]) -> None:
        """Sign the tree of the last batch, unless a note of it is there already."""
        batch = next(self._batches_back(), None)
        if batch is None:
            return
        statement = _statement(batch)
        if self._newest is None or self._newest.statement != statement:
            self._newest = self._present(statement) or self._sign(batch, statement, keys)
        metrics.checkpoint_size.set(statement.size)
        metrics.checkpoint_time.set(batch.at_ms / 1000)

    def _present(self, statement: Statement) -> Checkpoint | None:
        """The note of this tree, by whichever keys, if there is one that can be read."""
        try:
            return Checkpoint.parse(self._store.objects.read(f"{FOLDER}/{statement.file_name}"))
        except FileNotFoundError:
            return None
        except NoteError as error:
            log.error(
                "a checkpoint is damaged; run auditfuse verify", file=statement.file_name, how=str(error)
            )
            return None

    def _sign(self, batch: LogEntry, statement: Statement, keys: Sequence[SigningKey]) -> Checkpoint:
        if batch is not self._own:
            # Whoever fixed it may have died: a note must not outlive its batch.
            self._log.confirm()
            self._require_entries(batch)
        self._signed = SignedTree(origin=statement.origin, size=statement.size, root=statement.root.hex())
        self._signed.save(self._state)
        note = sign_note(statement.text, keys)
        if not self._store.objects.create(f"{FOLDER}/{statement.file_name}", note.encode()):
            # Another host signed the same tree in the meantime; or what is there is damaged, and stays.
            return self._present(statement) or Checkpoint(note, statement)
        return Checkpoint(note, statement)

    def _require_entries(self, batch: LogEntry) -> None:
        """A batch found in the log is signed only if its leaves are the entries that are there."""
        for leaves in batch.leaves:
            for n, expected in enumerate(leaves.hashes, leaves.first_n):
                content = self._uncovered.read((leaves.topic_id, leaves.partition), n)
                if content is None or sha256(content).hexdigest() != expected:
                    raise StoreError(
                        f"log entry {leaves.topic_id}/{leaves.partition}/{n:012d} is not what batch "
                        f"{batch.n} of {CHECKPOINT} says; it is not signed; run auditfuse verify"
                    )

    def _require_continuation(self) -> None:
        """The tree must begin with the largest one that this host ever signed: two that do not would be
        proof of a forked log, signed by us."""
        if self._signed is not None:
            return
        signed = SignedTree.load(self._state)
        if signed is not None and not self._has(signed):
            raise StoreError(
                f"{CHECKPOINT} does not hold the tree of {signed.size} entries that this host signed as "
                f"{signed.origin}: the store was cut, rolled back or replaced, and nothing more is signed. "
                "Restore it. If another store has its place on purpose, remove "
                f"{SignedTree.path(self._state)} and make a key of a new name"
            )
        self._signed = signed

    def _has(self, signed: SignedTree) -> bool:
        for batch in self._batches_back():
            if batch.size is not None and batch.size <= signed.size:
                return (batch.origin, batch.size, batch.root) == (signed.origin, signed.size, signed.root)
        return False

    def _batches_back(self) -> Iterator[LogEntry]:
        """The batches, the last first."""
        for n in range(self._log.state.next_n - 1, -1, -1):
            if self._own is not None and self._own.n == n:
                yield self._own
                continue
            content = self._uncovered.read((CHECKPOINT, 0), n)
            if content is None:
                raise StoreError(f"log entry {CHECKPOINT}/0/{n:012d} is gone; run auditfuse verify")
            entry = decode_entry(content, f"{CHECKPOINT}/0/{n:012d}")
            if entry.kind == "batch":
                yield entry

    def _may_claim(self, state: PartitionState, take_over: bool) -> bool:
        """Whether the log has no holder, or one that has been quiet for longer than the lease."""
        if state.writer is None or take_over:
            return True
        if self._seen_n < 0:
            self._quiet_from_ms = state.last_ms
        elif self._seen_n != state.next_n:
            self._quiet_from_ms = self._now_ms()
        return self._now_ms() - self._quiet_from_ms >= self._lease_ms

    def _claim(self, writer_id: str) -> None:
        while True:
            epoch = self._log.refresh().epoch + 1
            entry = self._log.next_entry(
                "claim", at_ms=self._now_ms(), writer=writer_id, epoch=epoch, role="writer"
            )
            if self._log.try_append(entry):
                return

    @contextlib.contextmanager
    def _turn(self) -> Generator[str]:
        """This host's writer id, for one of its processes at a time."""
        durable.make_directory(self._state, 0o700)
        path = self._state / "lock"
        with file_lock(path, wait_s=TURN_WAIT_S) as held:
            if not held:
                raise StoreError(f"another process has held {path} for long; try again")
            yield self._writer_id()

    def _writer_id(self) -> str:
        path = self._state / "writer"
        if not path.exists():
            durable.create_exclusive(path, secrets.token_hex(16).encode(), self._state, 0o600)
        return path.read_text().strip()


def _statement(batch: LogEntry) -> Statement:
    """What is signed after a batch. The fold has made sure that it is whole."""
    assert batch.origin is not None and batch.size is not None and batch.root is not None  # noqa: S101
    return Statement.of(batch.origin, batch.size, bytes.fromhex(batch.root), batch.at_ms)
