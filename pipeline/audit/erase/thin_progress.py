"""How far thinning has come, in the cache: without it everything is looked at again."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from pipeline import durable


class _Noted(msgspec.Struct, frozen=True):
    digest: str
    """Of the rules and the key."""
    holds: list[str]
    """The legal holds in force."""
    from_ms: int
    """Everything stored before it is thinned, or stays for good."""


class Progress:
    """Reads and writes one file."""

    def __init__(self, path: Path, digest: str) -> None:
        self._path = path
        self._digest = digest

    def from_ms(self, holds: Sequence[str]) -> int:
        """The broker time to look from; 0 where the rules are others, or a hold was lifted since."""
        try:
            noted = msgspec.json.decode(self._path.read_bytes(), type=_Noted)
        except (OSError, msgspec.MsgspecError):
            return 0
        is_ours = noted.digest == self._digest and set(noted.holds) <= set(holds)
        return noted.from_ms if is_ours else 0

    def save(self, from_ms: int, holds: Sequence[str]) -> None:
        """Remember it."""
        noted = _Noted(self._digest, sorted(holds), from_ms)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        durable.replace_atomically(self._path, msgspec.json.encode(noted), 0o600)
