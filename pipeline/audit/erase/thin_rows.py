"""What one row says of its trace's thinning: the rule that fits it, and why its payload stays. Pure."""

from collections.abc import Sequence
from hashlib import blake2b

import polars as pl

from pipeline.audit.arrow import Table
from pipeline.audit.erase.thin_config import ThinningRule

COLUMNS = (
    *("kind", "partition", "offset", "item", "trace_id", "session_id", "agent_id", "environment", "source"),
    *("channel", "action_kind", "outcome", "bound", "flags", "broker_time_ms", "start_time_unix_nano"),
    "duration_ns",
)
"""What is read of a row: never its record."""
REASONS: tuple[str, ...] = (
    "an error, a refusal or a time-out",
    "an external action",
    "a canary",
    "not bound to its source, or not redacted in full",
    "an incident",
    "a legal hold",
    "a tool call of unknown kind",
    "no rule fits it",
    "the share that is kept",
)
"""Why a trace stays for good, by number; the lowest one is told."""
INCIDENT, HOLD, SHARE = REASONS.index("an incident"), REASONS.index("a legal hold"), len(REASONS) - 1
YOUNG = len(REASONS)
"""Not due yet, or not seen by detection: looked at again later."""
ROUTINE = 255
"""Nothing keeps it."""
HASH_KEY = "thinning"
"""The name of the key of the traces' hashes."""


def reason_text(number: int) -> str:
    """A reason in words."""
    if number == ROUTINE:
        return "nothing keeps it"
    return "not due yet, or not seen by detection" if number == YOUNG else REASONS[number]


def events_of(table: Table, key: bytes) -> pl.DataFrame:
    """The events of a table with COLUMNS that are not erased, and `key`: the hash (uint64) of what they
    belong to: the trace, else the session, else themselves."""
    frame = pl.DataFrame(table).filter((pl.col("kind") == "event") & pl.col("agent_id").is_not_null())
    alone = pl.format("row:{}/{}/{}", "partition", "offset", "item")
    whole = pl.coalesce(pl.format("trace:{}", "trace_id"), pl.format("session:{}", "session_id"), alone)
    frame = frame.with_columns(whole.alias("whole"))
    names = frame["whole"].unique()
    hashes = pl.Series("key", [trace_hash(key, name) for name in names], pl.UInt64)
    return frame.join(pl.DataFrame({"whole": names, "key": hashes}), on="whole", how="left")


def trace_hash(key: bytes, whole: str) -> int:
    """64 bits of keyed BLAKE2b: the same for the same trace at any time, and for nobody without the key to
    foresee."""
    return int.from_bytes(blake2b(whole.encode(), key=key, digest_size=8).digest(), "big")


class Rules:
    """The rules of a configuration, over columns."""

    def __init__(self, rules: Sequence[ThinningRule]) -> None:
        self._rules = sorted(rules, key=lambda rule: rule.rank, reverse=True)

    def judged(self, events: pl.DataFrame, now_ms: int) -> pl.DataFrame:
        """`events` with `reason`: the number of what keeps each row by itself, or ROUTINE."""
        own = events.with_columns(
            self._of_rule("keep", None), self._of_rule("after_hours", None)
        ).with_columns(self._of_rule("unknown_is_routine", False))
        share = (pl.col("key") // 2**11).cast(pl.Float64) / float(2**53)  # exact, and below 1
        reasons = [
            pl.col("outcome") != "ok",
            pl.col("action_kind") == "external",
            pl.col("channel") == "canary",
            ~pl.col("bound") | pl.col("flags").list.contains("redaction_failed"),
            pl.lit(value=False),  # incidents and holds are told by others
            pl.lit(value=False),
            (pl.col("action_kind") == "unknown") & ~pl.col("unknown_is_routine"),
            pl.col("keep").is_null(),
            share < pl.col("keep"),
            pl.col("broker_time_ms") > now_ms - pl.col("after_hours") * 3_600_000,
        ]
        reason = pl.lit(ROUTINE, pl.UInt8)
        for number, holds in reversed(list(enumerate(reasons))):
            # What is not known keeps: a null is no reason to erase.
            reason = pl.when(holds.fill_null(value=True)).then(pl.lit(number, pl.UInt8)).otherwise(reason)
        return own.with_columns(reason.alias("reason"))

    def _of_rule(self, option: str, absent: object) -> pl.Expr:
        value = pl.lit(absent)
        for rule in reversed(self._rules):
            value = pl.when(_fits(rule)).then(pl.lit(getattr(rule, option))).otherwise(value)
        return value.alias(option)


def _fits(rule: ThinningRule) -> pl.Expr:
    named = {
        "environment": rule.environment,
        "agent_id": rule.agent,
        "source": rule.source,
        "action_kind": rule.action_kind,
    }
    terms = [pl.col(column) == value for column, value in named.items() if value is not None]
    return pl.all_horizontal(terms) if terms else pl.lit(value=True)
