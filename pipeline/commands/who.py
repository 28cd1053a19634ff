"""Who gives a command: what `--by` says, else the user of this machine."""

import getpass

from pipeline.errors import ConfigError


def who(by: str | None) -> str:
    """Raises ConfigError where the machine knows no name either, as in a container of an unlisted user."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise ConfigError("who are you? name yourself with --by") from None
