"""Rows of `_control` that erasures and holds are made of: written, and read back as they are appended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from pipeline.audit.control import AppendLog, AppendRow, read_rows
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import CONTROL, Store
from pipeline.audit.writer import new_writer_id
from pipeline.clock import NowMs
from pipeline.redact.pseudonym import TOKEN
from schemas.command import Command
from schemas.erasure import Erasure, Hold

ControlRow = Command | Erasure | Hold
_DECODERS: dict[str, msgspec.json.Decoder[ControlRow]] = {
    "command": msgspec.json.Decoder(Command),
    "erasure": msgspec.json.Decoder(Erasure),
    "hold": msgspec.json.Decoder(Hold),
}


class _Kind(msgspec.Struct):
    kind: str


class ControlState(NamedTuple):
    """`_control` as far as it is read. Rows that were erased, or are of a newer version, are left out."""

    commands: dict[int, Command]
    """By offset."""
    holds: dict[int, Hold]
    """By offset."""
    erasures: dict[str, dict[str, Erasure]]
    """By erasure and phase."""


class ControlRows:
    """Follows `_control`: every look costs one look-up while nothing is new."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._log = PartitionLog(store, CONTROL, 0)
        self._end = 0
        self.state = ControlState({}, {}, {})

    def refresh(self) -> bool:
        """Read what was appended; returns whether anything was."""
        end = self._log.refresh().end
        if end <= self._end:
            return False
        for offset, row in self._read():
            if isinstance(row, Command):
                self.state.commands[offset] = row
            elif isinstance(row, Hold):
                self.state.holds[offset] = row
            else:
                self.state.erasures.setdefault(row.erasure, {})[row.phase] = row
        return True

    def completed_ms(self) -> int:
        """When the latest erasure of whole rows that a person ordered was complete; 0 without one."""
        ends = (phases.get("completion") for phases in self.state.erasures.values())
        return max((end.at_ms for end in ends if end and end.rows and not end.automatic), default=0)

    def _read(self) -> Iterator[tuple[int, ControlRow]]:
        for row in read_rows(self._store, CONTROL, self._end):
            self._end = row.offset + 1
            if row.meta is None:
                continue
            try:
                kind = msgspec.json.decode(row.meta, type=_Kind).kind
                yield row.offset, _DECODERS[kind].decode(row.meta)
            except (msgspec.MsgspecError, KeyError):
                continue


def append(store: Store, row: Erasure | Hold, now_ms: NowMs) -> None:
    """Seal a row of an erasure or a hold, once."""
    AppendLog(store, CONTROL, writer_id=new_writer_id(), now_ms=now_ms).append([AppendRow.of(row)])


def without_pseudonyms(text: str) -> str:
    """A redacted text with the types of what was redacted alone: a reason outlives the person's data."""
    return TOKEN.sub(lambda token: token[0].partition(":")[0] + ">", text)
