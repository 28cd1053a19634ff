"""Which rows a person means: every row of a trace or of a span, or the rows at a position."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.audit.store import Store
from pipeline.errors import AuditfuseError

_POSITION = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9._-]*)/(\d{1,10})/(\d{1,18})(?:/(\d{1,9}))?")
_FETCH_ROWS = 10_000
_BY_ID = """
SELECT topic_id, "partition", "offset", item FROM all_rows WHERE trace_id = $id
UNION
SELECT topic_id, "partition", "offset", item FROM all_rows WHERE span_id = $id
ORDER BY ALL
"""


class NoSuchRow(AuditfuseError):
    """Nothing in the store is what was asked for."""

    exit_code = 1


class Position(NamedTuple):
    """A row's identity; `item` None stands for every row at the offset."""

    topic_id: str
    partition: int
    offset: int
    item: int | None

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """From TOPIC_ID/PARTITION/OFFSET[/ITEM]; None where `text` is something else."""
        match = _POSITION.fullmatch(text)
        if match is None:
            return None
        topic_id, partition, offset, item = match.groups()
        return cls(topic_id, int(partition), int(offset), None if item is None else int(item))


def find_rows(store: Store, target: str) -> list[Position]:
    """The rows in order of identity: of a trace id or span id by the catalog, or those at a position.

    Erased rows have no ids any more: they are found by position alone. Raises NoSuchRow.
    """
    position = Position.parse(target)
    found = [position] if position is not None else list(_by_id(store, target))
    if not found:
        raise NoSuchRow(
            f"no row of {store.name} has the trace id or span id {target!r}; a row that was erased has "
            "lost its ids and is named by its position, TOPIC_ID/PARTITION/OFFSET"
        )
    return found


def _by_id(store: Store, one_id: str) -> Iterator[Position]:
    from pipeline.audit.query import connect_newest

    with connect_newest(store) as connection:
        result = connection.execute(_BY_ID, {"id": one_id})
        while rows := result.fetchmany(_FETCH_ROWS):
            yield from (Position(*row) for row in rows)
