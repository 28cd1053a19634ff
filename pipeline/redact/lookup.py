"""The pseudonyms of a known value: under every kept key, as every type, in the ways in which it is written.

Never complete for names: people write them in more ways than any list has. So the variants are told.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pipeline.keys import Keys
from pipeline.redact.config import RedactionConfig
from pipeline.redact.pseudonym import Pseudonyms
from pipeline.redact.rule_checks import known_types, word_types

KEY_PREFIX = "pseudonym-"
_ENVIRONMENT_KEY = re.compile(r"AUDITFUSE_KEY_PSEUDONYM_([A-Z0-9]{1,8})")
_NAME = re.compile(r"[^\W\d_][^\W\d_'’.-]*(?:[ '’._-]{1,2}[^\W\d_]+)+")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_NUMBER = re.compile(r"[\d\s()+./-]{6,30}")
_SEPARATORS = (" ", "_", ".", "-")
_OF_NAMES = ("PERSON", "LOCATION", "NRP")
_OF_NUMBERS = ("PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "US_BANK_NUMBER", "NATIONAL_ID", "PASSPORT")
_OF_ANYTHING = ("USER_ID", "ID", "FIELD")


class Lookup(NamedTuple):
    """What stands for one way of writing a value."""

    key_id: str
    entity: str
    written: str
    token: str
    hash: str
    """What the operator hash writes."""


def lookups(
    ways: Iterable[str], types: Sequence[str], ids: Iterable[str], keys: Keys, config: RedactionConfig
) -> Iterator[Lookup]:
    """Everything that may stand for a value, written in these ways; what two of them share comes once."""
    ways, words = list(ways), word_types(config)
    for key_id in ids:
        maker = Pseudonyms(key_id, keys.get(KEY_PREFIX + key_id), config.home_region, words)
        told: set[str] = set()
        for entity in types:
            for way in ways:
                token = maker.token(entity, way)
                if token not in told:
                    told.add(token)
                    yield Lookup(key_id, entity, way, token, maker.long_token(entity, way))


def kept_key_ids(keys: Keys) -> list[str]:
    """Every key that there is: in files and in the environment."""
    kept = [name.removeprefix(KEY_PREFIX) for name in keys.names(KEY_PREFIX)]
    given = [match[1].lower() for name in os.environ if (match := _ENVIRONMENT_KEY.fullmatch(name))]
    return sorted({*kept, *given})


def key_ids(config: RedactionConfig, keys: Keys) -> list[str]:
    """Every key that pseudonyms may have been made with: those that are kept, and the configured one."""
    return sorted({*kept_key_ids(keys), config.pseudonym_key_id})


def every_type(config: RedactionConfig) -> list[str]:
    """Every type that redaction could have seen in a value."""
    return sorted(known_types(config))


def plausible_types(value: str, config: RedactionConfig) -> list[str]:
    """Types that a value looks like it could be where no recognizer knows it."""
    types: list[str] = [*_OF_ANYTHING]
    if _WORD.fullmatch(value) or is_name(value):
        types += _OF_NAMES
    if _NUMBER.fullmatch(value):
        types += _OF_NUMBERS
    if re.search(r"\d", value) and re.search(r"[^\W\d_]", value) and " " in value:
        types.append("STREET_ADDRESS")
    return sorted(set(types) & known_types(config))


def pseudonyms_of(config: RedactionConfig, keys: Keys) -> Pseudonyms:
    """What makes a configuration's pseudonyms, with its key."""
    key_id = config.pseudonym_key_id
    return Pseudonyms(key_id, keys.get(KEY_PREFIX + key_id), config.home_region)


def is_name(value: str) -> bool:
    """Whether a value is written like a name of several parts."""
    return bool(_NAME.fullmatch(value))


def written(value: str, region: str) -> Iterator[str]:
    """The ways of writing one value: as it is, names with other separators, numbers as phones are written."""
    yield value
    if is_name(value):
        parts = re.split(r"[ ._-]+", value)
        yield from (separator.join(parts) for separator in _SEPARATORS)
        if len(parts) > 1:
            yield f"{parts[-1]}, {' '.join(parts[:-1])}"
    elif _NUMBER.fullmatch(value):
        yield re.sub(r"\D", "", value)
        yield from _phones(value, region)


def _phones(value: str, region: str) -> Iterator[str]:
    import phonenumbers

    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return
    formats = phonenumbers.PhoneNumberFormat
    for style in (formats.E164, formats.INTERNATIONAL, formats.NATIONAL):
        yield phonenumbers.format_number(number, style)
