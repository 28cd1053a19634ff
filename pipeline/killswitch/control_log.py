"""The kill switch's side of the `_control` partition: commands as rows, and rows as commands."""

from collections.abc import Iterator, Sequence

import msgspec
import structlog

from pipeline.audit.control import PARTITION, AppendLog, AppendRow, read_rows
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import Store
from pipeline.clock import NowMs
from schemas.command import Command

TOPIC_ID = "_control"

log = structlog.get_logger()


class _Kind(msgspec.Struct):
    kind: str


class ControlLog:
    """Appends commands to `_control` and reads them back. Used by one thread, the switch's sealer."""

    def __init__(self, store: Store, *, writer_id: str, now_ms: NowMs) -> None:
        self._store = store
        self._log = AppendLog(store, TOPIC_ID, writer_id=writer_id, now_ms=now_ms)
        self._followed = PartitionLog(store, TOPIC_ID, PARTITION)

    def append(self, commands: Sequence[Command]) -> list[str]:
        """Seal commands, each id once; returns all their ids, those sealed before included."""
        self._log.append([AppendRow.of(command) for command in commands])
        return [command.id for command in commands]

    def read_sealed(self, after_offset: int) -> Iterator[tuple[int, Command | None]]:
        """The rows after an offset; None for what is no command, or was erased."""
        if self._followed.refresh().end <= after_offset + 1:
            return  # one look-up a second while nothing is new, however long the log is
        for row in read_rows(self._store, TOPIC_ID, after_offset + 1):
            yield row.offset, _command(row.offset, row.meta)


def _command(offset: int, meta: bytes | None) -> Command | None:
    try:
        if meta is None or msgspec.json.decode(meta, type=_Kind).kind != "command":
            return None
        return msgspec.json.decode(meta, type=Command)
    except msgspec.MsgspecError:
        log.error("_control holds a row that is no command of this version; it is ignored", offset=offset)
        return None
