"""Real traces stretched over days: sessions drawn anew for each day, with times and ids of their own."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import polars as pl
from support.decode import source
from support.redact import test_keys
from support.signals import START_MS, TOPIC
from support.traces import NATIVE, lines

from pipeline.audit.signals import signals_from_rows
from pipeline.decode.action_kind import ToolPatterns
from pipeline.detect import SignalBatch
from pipeline.prepare import Batch, Preparation
from pipeline.redact.config import RedactionConfig
from pipeline.topics.base import Message

DAY_MS = 86_400_000
EXPORT_MS = 50
"""From the end of a step to its append."""
SESSIONS_VARY = 0.15
NIGHT_SHARE = 0.25
"""Of the sessions that begin at any time; the others begin within the working day."""
IDS = ("trace_id", "span_id", "parent_span_id", "request_id", "session_id", "tool_call_id", "event_hmac")


@cache
def recorded() -> pl.DataFrame:
    """The real traces as signals, as they were recorded. Names are not looked for: no detector needs them."""
    prepare = Preparation([source(name="agents")], ToolPatterns(), RedactionConfig(names="off"), test_keys())
    messages = [Message(0, i, 1 << 41, "append", None, line) for i, line in enumerate(lines(NATIVE))]
    rows = prepare(Batch(topic_id=TOPIC, partition=0, source="agents", messages=messages, ingest_time_ms=0))
    return signals_from_rows(rows)


@cache
def _by_session() -> list[pl.DataFrame]:
    return recorded().sort("start_time_unix_nano").partition_by("session_id", maintain_order=True)


def day(number: int, seed: int = 0) -> pl.DataFrame:
    """One day's rows in order of append: about as many sessions as were recorded, most by day."""
    chance = np.random.default_rng([seed, number])
    sessions = _by_session()
    count = int(len(sessions) * chance.uniform(1 - SESSIONS_VARY, 1 + SESSIONS_VARY))
    begin_ms = np.where(
        chance.random(count) < NIGHT_SHARE,
        chance.uniform(0, 1, count),
        chance.triangular(0.3, 0.5, 0.8, count),
    ) * (DAY_MS - 120_000)
    drawn = [
        _moved(sessions[int(i)], START_MS + number * DAY_MS + int(at), f"{number:02x}{order:04x}")
        for order, (i, at) in enumerate(zip(chance.integers(0, len(sessions), count), begin_ms, strict=True))
    ]
    return pl.concat(drawn).sort("broker_time_ms", "span_id")


def _moved(session: pl.DataFrame, begin_ms: int, prefix: str) -> pl.DataFrame:
    """A session that begins then; its ids keep their length and how they refer to each other."""
    start = pl.col("start_time_unix_nano") - session["start_time_unix_nano"][0] + begin_ms * 1_000_000
    return session.with_columns(
        start.alias("start_time_unix_nano"),
        ((start + pl.col("duration_ns")) // 1_000_000 + EXPORT_MS).alias("broker_time_ms"),
        *((pl.lit(prefix) + pl.col(name).str.slice(len(prefix))).alias(name) for name in IDS),
    )


class Stream:
    """One partition that rows are appended to."""

    def __init__(self, end: int = 0) -> None:
        self._end = end

    def append(self, rows: pl.DataFrame, idle_until_ms: int | None = None) -> SignalBatch:
        """The next batch."""
        start, self._end = self._end, self._end + rows.height
        offsets = pl.int_range(start, self._end, dtype=pl.Int64, eager=True).alias("offset")
        return SignalBatch(TOPIC, 0, start, self._end, rows.with_columns(offsets), idle_until_ms)


def more(rows: pl.DataFrame, which: pl.Expr, times: int, seed: int = 0) -> pl.DataFrame:
    """The rows and `times` further copies of those that match, at random moments of the same time."""
    chance = np.random.default_rng(seed)
    first, last = int(rows["broker_time_ms"].min()), int(rows["broker_time_ms"].max())
    copies: list[pl.DataFrame] = []
    for copy in range(times):
        chosen = rows.filter(which)
        shift = pl.Series("shift", chance.integers(first, last, chosen.height)) - chosen["broker_time_ms"]
        copies.append(
            chosen.with_columns(
                pl.col("broker_time_ms") + shift,
                pl.col("start_time_unix_nano") + shift * 1_000_000,
                *((pl.lit(f"c{copy:03x}") + pl.col(name).str.slice(4)).alias(name) for name in IDS),
            )
        )
    return pl.concat([rows, *copies]).sort("broker_time_ms", "span_id")


def some(rows: pl.DataFrame, share: float, changes: Sequence[pl.Expr], seed: int = 0) -> pl.DataFrame:
    """The rows with `changes` in a random share of them."""
    hit = pl.Series("hit", np.random.default_rng(seed).random(rows.height) < share)
    return rows.with_columns(
        pl.when(hit).then(change).otherwise(pl.col(name)).alias(name)
        for change in changes
        for name in [change.meta.output_name()]
    )
