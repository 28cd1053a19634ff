"""Configuration of the kill switch and of the control HTTP server."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.killswitch.policy import AutoTripConfig

Role = Literal["viewer", "responder", "approver", "agent"]


class Token(BaseModel):
    """A bearer token and who it stands for. The token itself is never in the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    """The person's or agent's name: recorded with everything the token does."""
    role: Role
    """viewer: status and metrics; responder: also trip, step down, ask for a reset; approver: also
    approve a reset; agent: flags only."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """SHA-256 of the token, 64 hex digits (`printf %s "$TOKEN" | sha256sum`)."""


class KillSwitchConfig(BaseModel):
    """The kill switch: where trips are journaled, where it is served, and who may use it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    journal: Path = Path("auditfuse-journal")
    """A directory on a volume other than the store: a trip must survive the store's loss."""
    host: str = "127.0.0.1"
    """Address to serve flags, status, health and metrics on."""
    port: int = Field(default=8420, ge=0, le=65535)
    """Port to serve on; 0 takes a free one."""
    tokens: tuple[Token, ...] = ()
    """Bearer tokens. With none, only this machine may trip, by the token file that the first run makes
    in the journal directory. With any, that file no longer approves resets: its names are not proven."""
    ofrep_open_on_loopback: bool = True
    """Whether agents on this machine may ask for flags without a token. Others always need one."""
    targeting_key_is_agent: bool = True
    """Whether a context's targetingKey is the agent's id. false: only the attribute `agent` counts, and a
    context without it is covered by every trip."""
    throttle_per_minute: int = Field(default=6, ge=1)
    """Actions a minute that an agent in mode `throttle` is asked to keep to (in the flags' metadata)."""
    auto_trip: AutoTripConfig = AutoTripConfig()
    """Automatic trips and their limits."""
