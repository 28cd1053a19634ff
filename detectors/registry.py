"""The detectors that ship, in the order in which they report."""

from detectors.acting_after_trip import ActingAfterTrip
from detectors.auth_failure import AuthFailure
from detectors.base import Detector
from detectors.error_spike import ErrorSpike
from detectors.id_reuse import IdReuse
from detectors.identity_claim import IdentityClaim
from detectors.write_burst import WriteBurst

DETECTORS: tuple[type[Detector], ...] = (
    ErrorSpike,
    WriteBurst,
    AuthFailure,
    ActingAfterTrip,
    IdReuse,
    IdentityClaim,
)
