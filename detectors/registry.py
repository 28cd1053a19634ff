"""The detectors that ship, in the order in which they report."""

from detectors.acting_after_trip import ActingAfterTrip
from detectors.action_mix import ActionMix
from detectors.auth_failure import AuthFailure
from detectors.base import Detector
from detectors.canary import Canary
from detectors.error_spike import ErrorSpike
from detectors.expired_credential import ExpiredCredential
from detectors.external_burst import ExternalBurst
from detectors.forbidden import Forbidden
from detectors.foreign_credential import ForeignCredential
from detectors.id_reuse import IdReuse
from detectors.identity_claim import IdentityClaim
from detectors.latency import Latency
from detectors.moved_credential import MovedCredential
from detectors.novelty import Novelty
from detectors.off_hours import OffHours
from detectors.old_credential import OldCredential
from detectors.personal_data import PersonalData
from detectors.rate_limit import RateLimit
from detectors.runaway_session import RunawaySession
from detectors.scope_not_granted import ScopeNotGranted
from detectors.scope_unused import ScopeUnused
from detectors.secret_exposure import SecretExposure
from detectors.shared_dependency import SharedDependency
from detectors.silence import Silence
from detectors.throttling import Throttling
from detectors.token_burst import TokenBurst
from detectors.unapproved_action import UnapprovedAction
from detectors.unknown_version import UnknownVersion
from detectors.write_burst import WriteBurst

DETECTORS: tuple[type[Detector], ...] = (
    ErrorSpike,
    WriteBurst,
    AuthFailure,
    ExternalBurst,
    Throttling,
    PersonalData,
    SecretExposure,
    Latency,
    TokenBurst,
    ActionMix,
    Canary,
    ActingAfterTrip,
    IdReuse,
    IdentityClaim,
    Forbidden,
    ScopeNotGranted,
    ScopeUnused,
    RateLimit,
    OffHours,
    ExpiredCredential,
    ForeignCredential,
    MovedCredential,
    OldCredential,
    UnapprovedAction,
    RunawaySession,
    Novelty,
    UnknownVersion,
    Silence,
    SharedDependency,
)
