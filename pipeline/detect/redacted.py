"""Derived columns of what redaction found in a step: personal values and secrets, apart."""

import polars as pl

from pipeline.redact.types.secrets import SECRET_ENTITIES

NOT_PERSONAL = ("ID", "USER_ID", "REDACTION_FAILED", "REDACTION_CUT")
"""Types that most steps carry or that name no value: ids of the event, its user, and failures."""
OWN_FIELDS = ("end_user", "principal")
"""Fields of the event that may be a person's: their own value is counted, and is no news."""

_TYPE = pl.element().struct.field("key")
_VALUE = pl.element().struct.field("value")
_SECRETS = sorted(SECRET_ENTITIES)
_OTHERS = [*_SECRETS, *NOT_PERSONAL]


def with_redacted(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `personal_values` (beside the event's own user and principal) and `secret_values`, counts."""
    if not (rows["redactions"].list.len() > 0).any():
        zero = pl.lit(0, pl.Int64)
        return rows.with_columns(zero.alias("personal_values"), zero.alias("secret_values"))
    own = pl.sum_horizontal(_counted(name) for name in OWN_FIELDS)
    personal = _sum(~_TYPE.is_in(_OTHERS)) - own.cast(pl.Int64)
    return rows.with_columns(
        pl.max_horizontal(personal, pl.lit(0)).alias("personal_values"),
        _sum(_TYPE.is_in(_SECRETS)).alias("secret_values"),
    )


def _sum(which: pl.Expr) -> pl.Expr:
    values = pl.col("redactions").list.eval(pl.when(which).then(_VALUE).otherwise(0)).list.sum()
    return values.fill_null(0).cast(pl.Int64)


def _counted(name: str) -> pl.Expr:
    """Whether the field is a pseudonym of a personal type, and so was counted."""
    field = pl.col(name)
    own_type = field.str.starts_with("<USER_ID") | field.str.starts_with("<ID")
    return (field.str.starts_with("<") & ~own_type).fill_null(value=False)
