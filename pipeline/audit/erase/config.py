"""Retention rules, and copies of the trail that an erasure does not reach."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.audit.store import CHECKPOINT, CONTROL


class RetentionRule(BaseModel):
    """How long some rows are kept. The age of a row is counted from its broker time.

    Of the rules that fit a row the most specific one decides, for rows and payloads each: one that names the
    agent before one that does not, then the topic, then the environment. Without a rule nothing is erased.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str | None = None
    """The topic's name; `_findings` for findings and incidents. None: every topic but `_findings`."""
    environment: str | None = None
    """As it is stored."""
    agent: str | None = None
    """As it is stored."""
    days: float | None = Field(default=None, gt=0)
    """Rows older than this lose everything but their commitment."""
    payload_days: float | None = Field(default=None, gt=0)
    """Rows older than this lose their payload."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.days is None and self.payload_days is None:
            raise ValueError("a retention rule needs days, payload_days or both")
        if self.days is not None and self.payload_days is not None and self.payload_days >= self.days:
            raise ValueError("payload_days must be less than days: after days the row is gone")
        if self.topic in (CONTROL, CHECKPOINT):
            raise ValueError(f"{self.topic} has no retention: it accounts for what was erased and signed")
        return self

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        """The more specific rule has the higher one."""
        return self.agent is not None, self.topic is not None, self.environment is not None


class ErasureConfig(BaseModel):
    """How erasures and retention are carried out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    grace_s: float = Field(default=0.0, ge=0, le=3600)
    """Files that an erasure replaced are kept this long, so that running queries finish."""
    retention_interval_s: float = Field(default=3600.0, gt=0)
    """How often `auditfuse run` applies the retention rules."""
    further_copies: tuple[str, ...] = ()
    """Copies that auditfuse does not know of, and until when they last (`nightly backup: 30 days`): every
    erasure lists them as out of its reach."""
