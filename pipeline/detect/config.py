"""Settings of detection. A change of any of them changes the configuration hash of new findings."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from detectors.acting_after_trip import ActingAfterTripConfig
from detectors.action_mix import ActionMixConfig
from detectors.auth_failure import AuthFailureConfig
from detectors.base import DetectorConfig, StatisticConfig
from detectors.budget import DEFAULT_EXPECTED_KEYS, DEFAULT_FALSE_PAGES_PER_DAY, page_at
from detectors.canary import CanaryConfig
from detectors.error_spike import ErrorSpikeConfig
from detectors.expired_credential import ExpiredCredentialConfig
from detectors.external_burst import ExternalBurstConfig
from detectors.forbidden import ForbiddenConfig
from detectors.foreign_credential import ForeignCredentialConfig
from detectors.id_reuse import IdReuseConfig
from detectors.identity_claim import IdentityClaimConfig
from detectors.latency import LatencyConfig
from detectors.moved_credential import MovedCredentialConfig
from detectors.novelty import NoveltyConfig
from detectors.off_hours import OffHoursConfig
from detectors.old_credential import OldCredentialConfig
from detectors.personal_data import PersonalDataConfig
from detectors.policy import Policy
from detectors.rate_limit import RateLimitConfig
from detectors.runaway_session import RunawaySessionConfig
from detectors.scope_not_granted import ScopeNotGrantedConfig
from detectors.scope_unused import ScopeUnusedConfig
from detectors.secret_exposure import SecretExposureConfig
from detectors.shared_dependency import SharedDependencyConfig
from detectors.silence import SilenceConfig
from detectors.throttling import ThrottlingConfig
from detectors.token_burst import TokenBurstConfig
from detectors.unapproved_action import UnapprovedActionConfig
from detectors.unknown_version import UnknownVersionConfig
from detectors.write_burst import WriteBurstConfig
from pipeline.detect.overrides import Override
from pipeline.detect.own import own_detectors, own_settings, read_module


class DetectConfig(BaseModel):
    """What is detected, and within which bounds of time and memory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error_spike: ErrorSpikeConfig = ErrorSpikeConfig()
    """A larger share of an agent's steps fails than is normal for it."""
    write_burst: WriteBurstConfig = WriteBurstConfig()
    """An agent writes more often than it usually does, or than any agent should."""
    auth_failure: AuthFailureConfig = AuthFailureConfig()
    """An agent is refused again and again."""
    external_burst: ExternalBurstConfig = ExternalBurstConfig()
    """An agent acts on the outside more often than it usually does, or than any agent should."""
    throttling: ThrottlingConfig = ThrottlingConfig()
    """A larger share of an agent's steps is throttled than is normal for it."""
    personal_data: PersonalDataConfig = PersonalDataConfig()
    """A larger share of an agent's steps carries personal data than is normal for it, or very much of it."""
    secret_exposure: SecretExposureConfig = SecretExposureConfig()
    """Secrets appear in an agent's steps."""
    latency: LatencyConfig = LatencyConfig()
    """A larger share of an agent's calls takes longer than its usual slow ones."""
    token_burst: TokenBurstConfig = TokenBurstConfig()
    """An agent uses far more tokens than it usually does."""
    action_mix: ActionMixConfig = ActionMixConfig()
    """An action that is rare for an agent has become common."""
    canary: CanaryConfig = CanaryConfig()
    """A version on trial does worse than the stable one."""
    acting_after_trip: ActingAfterTripConfig = ActingAfterTripConfig()
    """An agent acts although its kill switch forbids it."""
    id_reuse: IdReuseConfig = IdReuseConfig()
    """Known trace and span ids come back with another content."""
    identity_claim: IdentityClaimConfig = IdentityClaimConfig()
    """A source speaks in a name that is not its own."""
    forbidden: ForbiddenConfig = ForbiddenConfig()
    """An agent uses a tool or a target that the policy forbids it."""
    scope_not_granted: ScopeNotGrantedConfig = ScopeNotGrantedConfig()
    """An agent acts under a scope that the policy does not grant it."""
    scope_unused: ScopeUnusedConfig = ScopeUnusedConfig()
    """An agent does not use a scope that it is granted."""
    rate_limit: RateLimitConfig = RateLimitConfig()
    """An agent acts more often than the policy allows."""
    off_hours: OffHoursConfig = OffHoursConfig()
    """An agent acts outside the hours that the policy allows."""
    expired_credential: ExpiredCredentialConfig = ExpiredCredentialConfig()
    """An agent acts with a credential after its expiry."""
    foreign_credential: ForeignCredentialConfig = ForeignCredentialConfig()
    """A credential is used where or by whom the policy does not let it be used."""
    moved_credential: MovedCredentialConfig = MovedCredentialConfig()
    """A credential leaves the environment in which it was first used."""
    old_credential: OldCredentialConfig = OldCredentialConfig()
    """A credential is in use for longer than the policy allows."""
    unapproved_action: UnapprovedActionConfig = UnapprovedActionConfig()
    """An agent does what the policy wants approved, without an approval."""
    runaway_session: RunawaySessionConfig = RunawaySessionConfig()
    """A session runs away: too many steps, too deep, too long, or the same call again and again."""
    novelty: NoveltyConfig = NoveltyConfig()
    """An agent uses a tool or a target that is new to it."""
    unknown_version: UnknownVersionConfig = UnknownVersionConfig()
    """An agent runs in a version that the policy does not list, or that is new."""
    silence: SilenceConfig = SilenceConfig()
    """An agent that should speak at this time of the week does not."""
    shared_dependency: SharedDependencyConfig = SharedDependencyConfig()
    """A tool, target or model fails for many agents at once."""
    policy_file: Path | None = None
    """A TOML file of rules: docs/detectors.md. Its content counts as part of this configuration."""
    policy: Policy = Policy()
    """The rules themselves, where there is no policy file."""
    modules: tuple[str, ...] = ()
    """Python modules with detectors of your own: paths that end in .py, or names that can be imported. See
    docs/own-detectors.md. Their content counts as part of this configuration."""
    own: dict[str, dict[str, Any]] = {}
    """Settings of your own detectors: `[detect.own.NAME]`."""
    own_limit_s: float = Field(default=30.0, gt=0)
    """Seconds that a detector of your own may take for one batch of rows. One that takes longer is off, like
    one that fails: see docs/own-detectors.md."""
    false_pages_per_day: float = Field(default=DEFAULT_FALSE_PAGES_PER_DAY, gt=0)
    """False pages a day that all statistical detectors together may make. It sets their thresholds, where
    they state none of their own; a trip takes a thousand times the evidence."""
    expected_keys: int = Field(default=DEFAULT_EXPECTED_KEYS, ge=1)
    """Agents (with environment) that the budget of false pages is shared among. It is stated, never counted,
    so that a replay comes to the same thresholds."""
    overrides: tuple[Override, ...] = ()
    """What holds otherwise for some agents and environments: `[[detect.overrides]]`."""
    lateness_s: float = Field(default=30.0, ge=0)
    """An event may end so many seconds before the newest event of its partition; beyond it is late:
    it counts for floors, under a key of its own that trips nothing, and not for statistics."""
    max_keys: int = Field(default=100_000, ge=1)
    """Agents (with environment and kind of source) whose baselines are kept; beyond it the longest
    unseen are forgotten and learn anew."""
    max_ids: int = Field(default=1_000_000, ge=1000)
    """Events whose ids are remembered to count repeats once; at most 48 hours of them."""
    max_pending: int = Field(default=2_000_000, ge=1000)
    """Open (agent, minute) counts that wait for the watermark, and as many open calls; beyond it the
    oldest are judged early."""

    _digests: dict[str, str] | None = PrivateAttr(default=None)

    @property
    def module_digests(self) -> dict[str, str]:
        """Module → SHA-256 of its content as first read. Raises ConfigError where it cannot be read."""
        if self._digests is None:
            self._digests = {name: read_module(name).digest for name in self.modules}
        return self._digests

    @property
    def page_at(self) -> float:
        """The e-value that pages, by the budget and the statistical detectors that are enabled."""
        sections = (getattr(self, name) for name in type(self).model_fields)
        enabled = [one for one in sections if isinstance(one, DetectorConfig) and one.enabled]
        enabled += self._own_tested()
        tested = sum(isinstance(getattr(one, "statistic", None), StatisticConfig) for one in enabled)
        return page_at(self.false_pages_per_day, self.expected_keys, tested)

    def _own_tested(self) -> list[DetectorConfig]:
        """The settings of one's own detectors that are enabled and test what they count."""
        tested = [one for one in own_detectors(self.module_digests) if getattr(one, "test", None)]
        settings = [own_settings(one, self.own.get(one.name, {})) for one in tested]
        return [one for one in settings if one.enabled]

    @property
    def hash(self) -> str:
        """16 hex digits over all settings, part of every finding's identity."""
        settings = self.model_dump(mode="json", exclude={"policy_file", "modules"})
        settings["modules"] = sorted(self.module_digests.values())
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
