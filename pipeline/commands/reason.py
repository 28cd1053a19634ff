"""The reason that a person gives on the command line, made fit to be kept."""

from pipeline.config import Config

WAIT_S = 60.0


def fit_reason(settings: Config, reason: str) -> str:
    """The reason, redacted by patterns (about two seconds)."""
    return fit_texts(settings, reason)[0]


def fit_texts(settings: Config, *texts: str) -> list[str]:
    """Several texts of one order, redacted as a reason is."""
    from pipeline.keys import Keys
    from pipeline.redact.reasons import ReasonRedactor

    redact = ReasonRedactor(settings.redaction, Keys(settings.keys.path))
    return [redact(text, WAIT_S) for text in texts]
