"""Expired credential: an agent acted with a credential after its expiry, and was not refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from detectors.base import Case, DetectorConfig, runbook_of
from detectors.policy_rule import BEGAN_FROM, began_ms
from detectors.row_rule import RowRule, quoted
from detectors.window import DAY_MS
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl

REMEMBERED = 100_000
"""Expiries whose reading is remembered: they come from outside."""
MAX_DIGITS = 15
FIRST_MS_VALUE = 100_000_000_000
"""Numbers below are seconds since 1970 (until the year 5138), from here on milliseconds."""


class ExpiredCredentialConfig(DetectorConfig):
    """When an expiry has passed."""

    grace_s: float = Field(default=60.0, ge=0)
    """Clocks differ: so many seconds after its expiry a credential may still be used."""


class ExpiredCredential(RowRule):
    """Steps that began after their `credential_expires` and were not refused. Once per credential and day.

    An expiry is a number of seconds or milliseconds since 1970, or a date, or a date and time as in
    ISO 8601 (without a zone: UTC). A date alone holds until its end. What cannot be read is not judged.
    """

    name: ClassVar[str] = "expired_credential"
    Config: ClassVar[type[DetectorConfig]] = ExpiredCredentialConfig
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("credential_id", "credential_expires")
    labels: ClassVar[tuple[str, ...]] = ("credential", "expired")
    looks_at: ClassVar[tuple[str, ...]] = ("credential_id", "credential_expires", "outcome", *BEGAN_FROM)
    period_ms: ClassVar[int] = DAY_MS
    cases: ClassVar[tuple[Case, ...]] = (  # cases begin on 2026-09-21 at 15:00 UTC
        Case(
            name="used an hour after its expiry",
            events=[{"at_s": 0, "credential_id": "key-7", "credential_expires": "2026-09-21T14:00:00Z"}],
            fires=["rule"],
            trips=True,
        ),
        Case(
            name="used in time, used within the grace, refused, no readable expiry",
            events=[
                {"at_s": 0, "credential_id": "key-7", "credential_expires": "2026-09-21T16:00:00Z"},
                {"at_s": 59, "credential_id": "key-7", "credential_expires": "1790002800"},
                {"at_s": 60, "credential_expires": "2020-01-01", "outcome": "denied"},
                {"at_s": 61, "credential_expires": "next week"},
                {"at_s": 62, "credential_expires": "2026-09-21"},
            ],
        ),
    )

    def __init__(self, config: ExpiredCredentialConfig) -> None:
        super().__init__()
        self.config = config

    def violations(self, rows: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        told = rows.filter(pl.col("credential_expires").is_not_null() & (pl.col("outcome") != "denied"))
        texts = told["credential_expires"].unique().to_list()
        expiries = pl.DataFrame(
            {"credential_expires": texts, "expiry_ms": [expiry_ms(text) for text in texts]},
            schema={"credential_expires": pl.String, "expiry_ms": pl.Int64},
        )
        used = told.join(expiries, on="credential_expires", maintain_order="left")
        return used.filter(began_ms() > pl.col("expiry_ms") + int(self.config.grace_s * 1000)).with_columns(
            pl.col("credential_id").fill_null("unnamed").alias("label.credential"),
            pl.col("credential_expires").alias("label.expired"),
        )

    def say(self, labels: Mapping[str, str]) -> str:
        return (
            f"The agent acted with the credential {labels['credential']}, which expired {labels['expired']}, "
            f"and was not refused"
        )

    def condition(self, labels: Mapping[str, str]) -> str:
        return f"credential_expires = {quoted(labels['expired'])} and outcome <> 'denied'"


@lru_cache(REMEMBERED)
def expiry_ms(text: str) -> int | None:
    """The first millisecond since 1970 that is past the expiry; None for what cannot be read."""
    if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS:
        number = int(text)
        return number if number >= FIRST_MS_VALUE else number * 1000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    at_ms = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    return at_ms + DAY_MS if len(text) == len("2026-12-31") else at_ms
