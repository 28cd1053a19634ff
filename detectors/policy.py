"""The policy: what agents may do, under which credentials, how often and when. One table a detector."""

from pydantic import BaseModel, ConfigDict

from detectors.credentials import CredentialRule
from detectors.forbidden import ForbiddenRule
from detectors.off_hours import HoursRule
from detectors.rate_limit import RateLimitRule
from detectors.runaway_session import SessionRule
from detectors.scopes import ScopeRule
from detectors.unapproved_action import ApprovalRule
from detectors.unknown_version import VersionRule


class Policy(BaseModel):
    """What is allowed and required. A detector whose table has no rule is not run at all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    forbidden: tuple[ForbiddenRule, ...] = ()
    """Tools and targets that agents must not use."""
    scopes: tuple[ScopeRule, ...] = ()
    """Scopes that agents are granted."""
    credentials: tuple[CredentialRule, ...] = ()
    """Where, by whom and for how long credentials may be used."""
    rate_limits: tuple[RateLimitRule, ...] = ()
    """How often agents may act."""
    hours: tuple[HoursRule, ...] = ()
    """When agents may act."""
    approvals: tuple[ApprovalRule, ...] = ()
    """Actions that need an approval, and what kind of approval covers them."""
    sessions: tuple[SessionRule, ...] = ()
    """What sessions may grow to, per agent."""
    versions: tuple[VersionRule, ...] = ()
    """In which versions agents may run."""
