"""Which rows of a segment match: masks over one row group at a time. Pure but for reading the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.audit.arrow import Table
from pipeline.audit.erase.values import Needles
from pipeline.audit.store import APPEND_PARTITIONS
from schemas.erasure import Scope
from schemas.record import RowKind

Mask: TypeAlias = NDArray[np.bool_]
_NS_PER_MS = 1_000_000
_CHAINED = ["offset", "item", "kind", "meta", "payload"]
_OF_EVENTS = ["trace_id", "session_id", "end_user", "start_time_unix_nano", "duration_ns", "broker_time_ms"]
DESCRIBED_KINDS: tuple[RowKind, ...] = ("event", "dead_letter", "finding", "withdrawal", "incident")
"""Kinds that a scope covers by what it says of an agent, an environment or a time. Commands, holds,
silences and erasures are about decisions of people: they go only by what they say of a person."""
PERSONAL_KINDS: tuple[RowKind, ...] = (*DESCRIBED_KINDS, "command", "hold", "silence")


class Found(NamedTuple):
    """Rows of a row group that match, and where."""

    in_meta: Mask
    in_payload: Mask

    @property
    def any(self) -> Mask:
        """Rows that match at all."""
        return self.in_meta | self.in_payload


class Matcher:
    """One scope, and the texts of which a row must hold one where there are any."""

    def __init__(
        self,
        scope: Scope,
        looked_for: Needles | None = None,
        *,
        kinds: Sequence[RowKind] | None = None,
        unless: Sequence[Scope] = (),
    ) -> None:
        """`kinds` left out: commands and holds too, where the scope or the texts name a person.
        `unless`: rows of these scopes do not match."""
        self.scope = scope
        self._unless = [Matcher(other) for other in unless]
        self._texts = looked_for.all if looked_for else []
        self._numbers = _number_pattern(looked_for.numbers) if looked_for and looked_for.numbers else None
        self._plain = [*looked_for.pseudonyms, *looked_for.raw] if looked_for else []
        personal = bool(self._texts or scope.pseudonyms or scope.end_user)
        self._kinds = list(kinds or (PERSONAL_KINDS if personal else DESCRIBED_KINDS))

    def covers(self, topic_id: str) -> bool:
        """Whether any row of that topic can match."""
        return self.scope.topic is None or self.scope.topic == topic_name(topic_id)

    def find(self, topic_id: str, table: Table) -> Found:
        """The matching rows of `table`, which has `columns_of(topic_id)`. Erased rows never match."""
        frame = pl.DataFrame(table)
        in_scope = frame.select(self._in_scope(topic_id)).to_series()
        for other in self._unless:
            in_scope &= ~frame.select(other._in_scope(topic_id)).to_series()
        if self.scope.pseudonyms:
            held = self.scope.pseudonyms
            in_scope &= _holds(frame["meta"], held) | _holds(frame["payload"], held)
        if not self._texts:
            return Found(_mask(in_scope), np.zeros(frame.height, np.bool_))
        in_meta = in_scope & self._search(frame["meta"], in_scope)
        return Found(_mask(in_meta), _mask(in_scope & self._search(frame["payload"], in_scope)))

    def _search(self, texts: pl.Series, within: pl.Series) -> pl.Series:
        found = _holds(texts, self._plain)
        if self._numbers is None:
            return found
        # Polars' patterns look at no neighbours: the few that hold the digits at all are looked at again.
        pattern = self._numbers
        candidates = (_holds(texts, self._texts) & within & ~found).arg_true().to_list()
        exact = [i for i in candidates if pattern.search(texts[i] or "")]
        return found | pl.Series(np.isin(np.arange(len(texts)), exact))

    def _in_scope(self, topic_id: str) -> pl.Expr:
        scope = self.scope
        terms = [
            pl.col("meta").is_not_null(),
            pl.col("kind").is_in(self._kinds),
            pl.lit(self.covers(topic_id)),
        ]
        for value, column in ((scope.environment, "environment"), (scope.agent, "agent_id")):
            if value is not None:
                terms.append(pl.col(column) == value)
        for value, column in (
            (scope.trace_id, "trace_id"),
            (scope.session_id, "session_id"),
            (scope.end_user, "end_user"),
        ):
            if value is not None and topic_id in APPEND_PARTITIONS:
                # Findings and incidents name traces, sessions and persons in their evidence.
                terms.append(pl.col("meta").str.contains(value, literal=True))
            elif value is not None:
                terms.append(pl.col(column) == value)
        stored, happened = _times(topic_id)
        if scope.from_ms is not None:
            terms.append(happened >= scope.from_ms)
        if scope.to_ms is not None:
            terms.append(happened < scope.to_ms)
        if scope.stored_from_ms is not None:
            terms.append(stored >= scope.stored_from_ms)
        if scope.stored_before_ms is not None:
            terms.append(stored < scope.stored_before_ms)
        return pl.all_horizontal(terms).fill_null(value=False).alias("in_scope")


def columns_of(topic_id: str) -> list[str]:
    """The columns that matching reads of a partition's segments."""
    own = ["at_ms"] if topic_id in APPEND_PARTITIONS else _OF_EVENTS
    return [*_CHAINED, "environment", "agent_id", *own]


def topic_name(topic_id: str) -> str:
    """The topic's name without the id of its incarnation."""
    return topic_id if topic_id in APPEND_PARTITIONS else topic_id.rpartition(".")[0]


def _times(topic_id: str) -> tuple[pl.Expr, pl.Expr]:
    """When a row was stored, and when what it tells happened."""
    if topic_id in APPEND_PARTITIONS:
        return pl.col("at_ms"), pl.col("at_ms")
    stored = pl.col("broker_time_ms")
    ended = (pl.col("start_time_unix_nano") + pl.col("duration_ns")) // _NS_PER_MS
    return stored, pl.when(pl.col("kind") == "event").then(ended).otherwise(stored)


def _holds(texts: pl.Series, looked_for: Sequence[str]) -> pl.Series:
    if not looked_for:
        return pl.Series(np.zeros(len(texts), np.bool_))
    return texts.str.contains_any(list(looked_for), ascii_case_insensitive=True).fill_null(value=False)


def _mask(series: pl.Series) -> Mask:
    return series.to_numpy().astype(np.bool_)


def _number_pattern(numbers: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\d)(?:{'|'.join(sorted(numbers, key=len, reverse=True))})(?!\d)")
