"""The reason that a person gives on the command line, made fit to be kept."""

from pipeline.config import Config

WAIT_S = 60.0


def fit_reason(settings: Config, reason: str) -> str:
    """The reason, redacted by patterns (about two seconds)."""
    from pipeline.keys import Keys
    from pipeline.redact.reasons import ReasonRedactor

    return ReasonRedactor(settings.redaction, Keys(settings.keys.path))(reason, WAIT_S)
