"""Columns that detection derives from signals: whose event it is, when it was, whether it is late."""

import polars as pl

from detectors.window import DAY_MS, MINUTE_MS, STEP_MS

UNBOUND = "unbound"
"""The environment that unbound events count under: a source must not speak in another's name."""
_SOURCE = pl.concat_str(pl.lit("source:"), "source")


def derive(signals: pl.DataFrame, newest_ms: int | None, lateness_ms: int) -> pl.DataFrame:
    """Add `env`, `agent`, `via`, `event_ms`, `late`, `minute`, `step`, `failed`, `key`, `ids`, `content`
    and `day`.

    Event time is the end of the step, no later than the broker's append time. A sender-stamped
    time that the decoder flagged as lying in the future tells nothing: such an event takes the
    newest time known of its partition, so that it makes nothing else late. `newest_ms` is the newest
    event time of the partition before these rows; `reached_ms`, where there is such a column, that of
    the partition's rows up to each, of which these are a share.
    """
    clock = pl.when(pl.col("broker_time_kind") != "append").then("broker_time_kind").otherwise(pl.lit(""))
    reached = pl.col("reached_ms") if "reached_ms" in signals.columns else reached_ms()
    timed = signals.with_columns(
        event_time_ms().alias("event_ms"),
        environment().alias("env"),
        agent().alias("agent"),
        pl.when(~pl.col("bound")).then(_SOURCE).otherwise(clock).alias("via"),
        pl.col("outcome").is_in(["error", "timeout"]).alias("failed"),
        pl.max_horizontal(reached, pl.lit(newest_ms, pl.Int64)).alias("newest"),
    )
    floor_ms = pl.when(pl.col("broker_time_kind") == "event").then("event_ms").otherwise("broker_time_ms")
    return (
        timed.with_columns(pl.col("event_ms").fill_null(pl.col("newest")).fill_null(pl.col("broker_time_ms")))
        .with_columns(
            (pl.col("event_ms") < pl.col("newest") - lateness_ms).fill_null(value=False).alias("late"),
            (pl.col("event_ms") // MINUTE_MS).alias("minute"),
            (floor_ms // STEP_MS).alias("step"),
            pl.struct("env", "agent", "via").hash(1).alias("key"),
            pl.struct("source", "env", "agent", "operation", "trace_id", "span_id").hash(2).alias("ids"),
            pl.col("event_hmac").hash(3).alias("content"),
            # What is older than a day where its partition is counts as a day old: its own may be forgotten.
            pl.max_horizontal(
                pl.col("event_ms") // DAY_MS, pl.col("newest").fill_null(pl.col("event_ms")) // DAY_MS - 1
            ).alias("day"),
        )
        .drop("newest", "reached_ms", strict=False)
    )


def event_time_ms() -> pl.Expr:
    """When the event ended; null where nothing tells."""
    own_end = (pl.col("start_time_unix_nano") + pl.col("duration_ns")) // 1_000_000
    untimed = (pl.col("broker_time_kind") != "append") & (
        pl.col("flags").list.contains("time_in_future").fill_null(value=False)
    )
    return pl.when(~untimed).then(pl.min_horizontal(own_end, "broker_time_ms"))


def reached_ms() -> pl.Expr:
    """The newest event time of the rows up to each; null before the first that has one."""
    return event_time_ms().cum_max().forward_fill()


def environment() -> pl.Expr:
    """The environment that an event counts under."""
    return pl.when(~pl.col("bound")).then(pl.lit(UNBOUND)).otherwise("environment").fill_null("")


def agent() -> pl.Expr:
    """Whose event it is: of what is unbound, its source's."""
    return pl.when(~pl.col("bound")).then(_SOURCE).otherwise("agent_id")
