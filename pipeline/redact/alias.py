"""Whether a name is what a redacted name was made of: without the analyzers, by the pseudonyms alone.

Automatic trips name agents as sealed rows do, and those are redacted. An agent that carries a person's
name or address asks the kill switch under its own.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from pipeline.errors import AuditfuseError
from pipeline.keys import Keys
from pipeline.redact.config import RedactionConfig
from pipeline.redact.pseudonym import TOKEN, Pseudonyms

REMEMBERED = 20_000
MAX_TRIES = 32
"""Places at which a value may end that are tried: names come from outside."""
_PARTS = re.compile(f"({TOKEN.pattern})")


class AliasMatcher:
    """Matches names to redacted names. Thread-safe; what it found is remembered."""

    def __init__(self, config: RedactionConfig, keys: Keys) -> None:
        self._keys = keys
        self._key_id = config.pseudonym_key_id
        self._phone_region = config.home_region
        self._words = frozenset(denied.type for one in (config, *config.overrides) for denied in one.deny)
        self.stands_for = lru_cache(REMEMBERED)(self._stands_for)

    def _stands_for(self, redacted: str, name: str) -> bool:
        """Whether `redacted` is `name` with each pseudonym in the place of its value.

        Only what the HMAC proves counts: an agent may call itself whatever looks like a pseudonym, and
        must not get others tripped by it.
        """
        parts = _PARTS.split(redacted)  # literals at even places, tokens between them
        if len(parts) == 1 or not name.startswith(parts[0]):
            return False
        position = len(parts[0])
        for number in range(1, len(parts), 2):
            token, literal = parts[number], parts[number + 1]
            ends = _ends(name, position, literal, is_last=number + 2 == len(parts))
            end = next((end for end in ends if self._made(token, name[position:end])), None)
            if end is None:
                return False
            position = end + len(literal)
        return True

    def _made(self, token: str, value: str) -> bool:
        entity, _, rest = token[1:-1].partition(":")
        key_id = rest.partition(".")[0]
        # A key that is not kept is not made here: names come from outside.
        if key_id != self._key_id and f"pseudonym-{key_id}" not in self._keys.names("pseudonym-"):
            return False
        try:
            key = self._keys.get(f"pseudonym-{key_id}")
        except (AuditfuseError, OSError):
            return False
        return Pseudonyms(key_id, key, self._phone_region, self._words).token(entity, value) == token


def _ends(name: str, position: int, literal: str, *, is_last: bool) -> Iterator[int]:
    """Where the value that begins at `position` may end: before an occurrence of `literal`."""
    if is_last:
        if name.endswith(literal) and len(name) - len(literal) > position:
            yield len(name) - len(literal)
        return
    end = position
    for _ in range(MAX_TRIES):
        end = name.find(literal, end + 1)
        if end < 0:
            return
        yield end
