"""Configuration of the approvals that the switch accepts."""

from pydantic import BaseModel, ConfigDict, Field


class ApprovalsConfig(BaseModel):
    """How long an approval of a bound source opens mode `approval`, and how many are known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    valid_s: float = Field(default=3_600, gt=0)
    """An approval that is older than so many seconds has expired."""
    use_s: float = Field(default=60, ge=0)
    """From the first answer that it opened, an approval opens for so many seconds (the same step asked
    again); a sealed action that names it ends it at once."""
    skew_s: float = Field(default=5, ge=0)
    """Clocks differ: an approval may be granted so many seconds in this server's future."""
    max_known: int = Field(default=100_000, ge=1)
    """Approvals that are known at most; beyond it the oldest open nothing."""
