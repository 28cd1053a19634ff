"""Settings of detection. A change of any of them changes the configuration hash of new findings."""

import hashlib

from pydantic import BaseModel, ConfigDict, Field

from detectors.acting_after_trip import ActingAfterTripConfig
from detectors.auth_failure import AuthFailureConfig
from detectors.error_spike import ErrorSpikeConfig
from detectors.id_reuse import IdReuseConfig
from detectors.identity_claim import IdentityClaimConfig
from detectors.write_burst import WriteBurstConfig


class DetectConfig(BaseModel):
    """What is detected, and within which bounds of time and memory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error_spike: ErrorSpikeConfig = ErrorSpikeConfig()
    """A larger share of an agent's steps fails than is normal for it."""
    write_burst: WriteBurstConfig = WriteBurstConfig()
    """An agent writes more often than it usually does, or than any agent should."""
    auth_failure: AuthFailureConfig = AuthFailureConfig()
    """An agent is refused again and again."""
    acting_after_trip: ActingAfterTripConfig = ActingAfterTripConfig()
    """An agent acts although its kill switch forbids it."""
    id_reuse: IdReuseConfig = IdReuseConfig()
    """Known trace and span ids come back with another content."""
    identity_claim: IdentityClaimConfig = IdentityClaimConfig()
    """A source speaks in a name that is not its own."""
    lateness_s: float = Field(default=30.0, ge=0)
    """An event may end so many seconds before the newest event of its partition; beyond it is late:
    it counts for floors, under a key of its own that trips nothing, and not for statistics."""
    max_keys: int = Field(default=100_000, ge=1)
    """Agents (with environment and kind of source) whose baselines are kept; beyond it the longest
    unseen are forgotten and learn anew."""
    max_ids: int = Field(default=1_000_000, ge=1000)
    """Events whose ids are remembered to count repeats once; at most 48 hours of them."""
    max_pending: int = Field(default=2_000_000, ge=1000)
    """Open (agent, minute) counts that wait for the watermark; beyond it the oldest are judged early."""

    @property
    def hash(self) -> str:
        """16 hex digits over all settings, part of every finding's identity."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]
