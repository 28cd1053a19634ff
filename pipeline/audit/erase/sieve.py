"""What one erasure takes of a row group: what matches, less what a hold or the switch keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from pipeline.audit.arrow import ParquetFile, Table, pc
from pipeline.audit.erase.kept import ControlChoice, Holds, choose
from pipeline.audit.erase.live import live_tables
from pipeline.audit.erase.match import Found, Mask, Matcher, columns_of
from pipeline.audit.erase.orders import ControlRows
from pipeline.audit.erase.rewrite import Doomed
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import APPEND_PARTITIONS, CONTROL, Store
from schemas.erasure import Erased


@dataclass
class Count:
    """What an erasure takes, and what it leaves though it matches."""

    rows: int = 0
    payloads: int = 0
    payload_bytes: int = 0
    """Of the payloads that are taken alone, uncompressed."""
    held: int = 0
    in_force: int = 0
    """Rows that stay since the trip or the hold that they speak of is in force."""
    left_in_meta: int = 0
    """Rows that keep a looked-for value in their metadata, since payloads alone were asked for."""
    agents: Counter[str] = field(default_factory=Counter[str])
    """Rows and payloads taken, by agent."""

    def add(self, other: Count) -> None:
        """Add what was counted elsewhere."""
        for name in ("rows", "payloads", "payload_bytes", "held", "in_force", "left_in_meta"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.agents.update(other.agents)


class RowChoice(Protocol):
    """Takes a part of what a scope matches, by more than one row tells."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns that it reads of an event topic's rows."""
        ...

    def mask(self, topic_id: str, table: Table) -> Mask:
        """The rows that it takes."""
        ...

    def renew(self) -> None:
        """The holds in force have changed."""
        ...


class Sieve:
    """One erasure's choice. `matcher` says what is wanted, `what` how much of it goes."""

    def __init__(
        self,
        store: Store,
        matcher: Matcher,
        what: Erased,
        *,
        by_value: bool,
        choice: RowChoice | None = None,
    ) -> None:
        """`by_value`: the matcher looks for values, so that a row may hold one in its metadata. `choice`:
        of the events that match it takes a part."""
        self.matcher = matcher
        self._choice = choice
        self._store = store
        self._what: Erased = what
        self._by_value = by_value
        self._holds = Holds(store)
        self._control: ControlChoice | None = None
        self.refresh()

    def refresh(self) -> bool:
        """Read the holds anew; returns whether they changed: what was chosen before is to be chosen again."""
        if not self._holds.refresh() and self._control is not None:
            return False
        rows = ControlRows(self._store)
        rows.refresh()
        if self._choice is not None and self._control is not None:
            self._choice.renew()
        self._control = choose(rows, *self._wanted_of_control())
        return True

    def sift(self, topic_id: str, file: ParquetFile) -> Iterator[tuple[Doomed, Count]]:
        """What each row group of a segment loses."""
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=self._columns(topic_id), use_threads=False)
            yield self._of_control(table) if topic_id == CONTROL else self._chosen(topic_id, table)

    def _columns(self, topic_id: str) -> list[str]:
        if self._choice is None or topic_id in APPEND_PARTITIONS:
            return columns_of(topic_id)
        return list(dict.fromkeys([*columns_of(topic_id), *self._choice.columns]))

    def may_take(self, topic_id: str, file: ParquetFile) -> bool:
        """False where the file's statistics alone say that nothing of it goes."""
        if not self.matcher.covers(topic_id):
            return False
        limit = self.matcher.scope.stored_before_ms
        if limit is None or topic_id == CONTROL:
            return True
        payloads = self._what == "payload"
        groups = map(file.metadata.row_group, range(file.num_row_groups))
        name = "at_ms" if topic_id in APPEND_PARTITIONS else "broker_time_ms"
        first_ms = self.matcher.scope.stored_from_ms or 0
        return any(_may_be_due(group, name, first_ms, limit, payloads=payloads) for group in groups)

    def _chosen(self, topic_id: str, table: Table) -> tuple[Doomed, Count]:
        found = self.matcher.find(topic_id, table)
        if self._choice is not None:
            chosen = self._choice.mask(topic_id, table) if found.any.any() else found.any
            found = Found(found.in_meta & chosen, found.in_payload & chosen)
        kept = self._holds.mask(topic_id, table) if found.any.any() else np.zeros(table.num_rows, np.bool_)
        rows, payloads = found.any & ~kept, np.zeros(table.num_rows, np.bool_)
        lengths = _lengths(table)
        present = lengths > 0
        left = 0
        if self._what == "payload":
            rows, payloads = payloads, rows & present
            left = int((found.in_meta & ~kept).sum()) if self._by_value else 0
        elif self._what == "where_found":
            rows, payloads = found.in_meta & ~kept, found.in_payload & ~found.in_meta & ~kept & present
        held = found.any & kept & (present if self._what == "payload" else True)
        taken = table.column("agent_id").filter(rows | payloads).to_pylist()
        count = Count(int(rows.sum()), int(payloads.sum()), int(lengths[payloads].sum()), int(held.sum()))
        count.left_in_meta = left
        count.agents.update(agent or "" for agent in taken)
        return Doomed(rows, payloads), count

    def _of_control(self, table: Table) -> tuple[Doomed, Count]:
        choice = self._control or ControlChoice(frozenset(), frozenset(), frozenset())
        offsets = table.column("offset").to_numpy()
        there = np.asarray(table.column("meta").is_valid())
        rows, held, in_force = (_among(offsets, part) & there for part in choice)
        count = Count(int(rows.sum()), held=int(held.sum()), in_force=int(in_force.sum()))
        return Doomed(rows, np.zeros(table.num_rows, np.bool_)), count

    def _wanted_of_control(self) -> tuple[set[int], set[int]]:
        """Offsets of `_control` that match, and those that a hold keeps."""
        wanted: set[int] = set()
        held: set[int] = set()
        if self._what == "payload" or not self.matcher.covers(CONTROL):
            return wanted, held
        for table in live_tables(PartitionLog(self._store, CONTROL, 0), columns_of(CONTROL)):
            offsets = table.column("offset").to_numpy()
            wanted.update(offsets[self.matcher.find(CONTROL, table).any].tolist())
            held.update(offsets[self._holds.mask(CONTROL, table)].tolist())
        return wanted, held


def _lengths(table: Table) -> Any:
    """Bytes of each payload, 0 where it is erased."""
    return np.asarray(pc.binary_length(table.column("payload")).fill_null(0))


def _among(offsets: Mask, wanted: frozenset[int]) -> Mask:
    return np.isin(offsets, list(wanted))


def _may_be_due(group: Any, time_column: str, first_ms: int, limit_ms: int, *, payloads: bool) -> bool:
    """Whether a row group's statistics leave room for a row stored in [first_ms, limit_ms)."""
    statistics = {
        column.path_in_schema: column.statistics
        for column in map(group.column, range(group.num_columns))
        if column.path_in_schema in (time_column, "payload")
    }
    times = statistics[time_column]
    if payloads and statistics["payload"] is not None and statistics["payload"].null_count == group.num_rows:
        return False
    if times is None:
        return True
    return times.has_min_max and times.min < limit_ms and times.max >= first_ms
