"""The newest checkpoints as rows of the catalog. Kept open by whoever builds it again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.audit.checkpoint.note import NoteError
from pipeline.audit.checkpoint.statement import FOLDER, Checkpoint, is_note_name
from pipeline.audit.log import PartitionState
from pipeline.audit.store import CHECKPOINT, Store

if TYPE_CHECKING:
    import duckdb

MAX_SHOWN = 10_000
"""A week of one a minute; `auditfuse checkpoint list` shows all."""
_INSERT = """
INSERT INTO newest_checkpoints
SELECT unnest($1), unnest($2), epoch_ms(unnest($3)::BIGINT), unnest($4), unnest($5), unnest($6)
"""


class ShownCheckpoints:
    """Lists the notes when the log of checkpoints has grown, and reads only those that are new."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: dict[str, list[Any]] = {}
        self._listed_n = -1

    def write(self, connection: duckdb.DuckDBPyConnection, states: Sequence[PartitionState]) -> None:
        """Fill the table `newest_checkpoints`."""
        next_n = next((state.next_n for state in states if state.topic_id == CHECKPOINT), 0)
        if next_n != self._listed_n:
            names = [name for name in self._store.objects.names(FOLDER) if is_note_name(name)]
            self._rows = {name: self._rows.get(name) or self._row(name) for name in names[-MAX_SHOWN:]}
            self._listed_n = next_n
        columns = [list(column) for column in zip(*self._rows.values(), strict=True)]
        if columns:
            connection.execute(_INSERT, columns)

    def _row(self, name: str) -> list[Any]:
        """Nulls but the file's name where the note is damaged: verify says how."""
        try:
            checkpoint = Checkpoint.parse(self._store.objects.read(f"{FOLDER}/{name}"))
        except (NoteError, FileNotFoundError):
            return [None, None, None, None, [], name]
        statement = checkpoint.statement
        signers = [f"{one.name}+{one.key_id.hex()}" for one in checkpoint.note.signatures]
        root = statement.root.hex()
        return [statement.size, root, statement.at_ms, statement.origin, signers, name]
