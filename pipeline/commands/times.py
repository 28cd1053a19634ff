"""Times on the command line."""

from datetime import UTC, datetime

from pipeline.errors import ConfigError


def time_ms(text: str, option: str) -> int:
    """ISO 8601, UTC where no zone is given, as ms since 1970. Raises ConfigError that names the option."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} {text!r} is no time; write 2026-11-01 or 2026-11-01T09:30:00Z") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def as_text(at_ms: int) -> str:
    """A time for a person, to the second, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
