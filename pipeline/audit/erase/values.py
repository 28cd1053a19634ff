"""The texts to look for in place of a person's raw value: pseudonyms under every kept key, and the value
itself in the ways in which it may have slipped through redaction.

Never complete for names: people write them in more ways than any list has. So the variants are listed.
"""

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus

from pipeline.errors import ConfigError
from pipeline.keys import Keys
from pipeline.redact.config import RedactionConfig
from pipeline.redact.lookup import every_type, is_name, key_ids, lookups, written
from pipeline.redact.pseudonym import TOKEN

MIN_VALUE_CHARS = 4
MAX_VALUES = 100


class Needles(NamedTuple):
    """What to look for, of all values together."""

    pseudonyms: tuple[str, ...]
    raw: tuple[str, ...]
    """Compared without regard to the case of ASCII letters."""
    numbers: tuple[str, ...]
    """Digits alone: found only where no further digit stands beside them."""
    name_variants: tuple[str, ...]
    """For a person to read: the ways of writing names that were looked for."""

    @property
    def all(self) -> list[str]:
        """Every text that a row may hold."""
        return [*self.pseudonyms, *self.raw, *self.numbers]


def read_values(file: Path) -> tuple[list[str], str | None]:
    """The values of a file (`-`: stdin), one a line, and a warning where others can read it.

    Raises ConfigError; it quotes no value.
    """
    warning = None
    try:
        if str(file) == "-":
            content = sys.stdin.buffer.read()
        else:
            content = file.read_bytes()
            if file.stat().st_mode & 0o077:
                warning = f"{file} can be read by others; run: chmod 600 {file}, and delete it afterwards"
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}; name a file that you can read") from None
    try:
        lines = [line.strip() for line in content.decode().splitlines()]
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8 text; write one value a line") from None
    values = list(dict.fromkeys(line for line in lines if line))
    if not values or len(values) > MAX_VALUES:
        raise ConfigError(f"{file} holds {len(values)} values; write 1 to {MAX_VALUES}, one a line")
    for number, line in enumerate(lines, 1):
        if line and len(line) < MIN_VALUE_CHARS:
            raise ConfigError(
                f"{file}, line {number}: shorter than {MIN_VALUE_CHARS} characters, "
                "which would be found in what has nothing to do with it"
            )
    return values, warning


def needles(values: Sequence[str], config: RedactionConfig, keys: Keys) -> Needles:
    """Everything to look for in place of `values`."""
    region, types, known_keys = config.home_region, every_type(config), key_ids(config, keys)
    tokens: dict[str, None] = {}
    raw: dict[str, None] = {}
    variants: dict[str, None] = {}
    for value in values:
        if TOKEN.fullmatch(value):
            tokens[value] = None
            continue
        ways = list(written(value, region))
        variants.update(dict.fromkeys(ways if is_name(value) else ()))
        for found in lookups(ways, types, known_keys, keys, config):
            tokens |= {found.token: None, found.hash: None}
        raw.update(dict.fromkeys(form for w in ways for form in _escaped(w)))
    numbers = tuple(text for text in raw if text.isdecimal())
    return Needles(
        tuple(tokens),
        tuple(t for t in raw if not t.isdecimal() and len(t) >= MIN_VALUE_CHARS),
        numbers,
        tuple(variants),
    )


def _escaped(value: str) -> Iterable[str]:
    """The value as plain text, in JSON, in JSON within a string of JSON, and in a URL."""
    normal = [unicodedata.normalize(form, value) for form in ("NFC", "NFD", "NFKC")]
    # ASCII case is ignored by the search; other letters are given in the usual cases.
    cased = [
        text
        for one in (value, *normal)
        for text in (one, one.casefold(), one.lower(), one.upper(), one.title())
    ]
    for text in dict.fromkeys(cased):
        yield text
        yield from (quote(text, safe="@"), quote(text, safe=""), quote_plus(text))
        for ascii_only in (False, True):
            once = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
            twice = json.dumps(once, ensure_ascii=ascii_only)[1:-1]
            yield from (once, twice, once.replace("/", "\\/"), twice.replace("/", "\\\\/"))
