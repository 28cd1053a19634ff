"""Ids: which pass as they are, and which parts of a text are ids, times or tokens that must survive."""

import re

from pipeline.redact.pseudonym import TOKEN

_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
SPAN_ID = re.compile(r"[0-9a-fA-F]{16}")
_UUID_ONLY = re.compile(_UUID)
_BODY = re.compile(r"[A-Za-z0-9]{16,64}")
_CLASSES = re.compile(r"[a-z]+|[A-Z]+|\d+")
_HEX = re.compile(r"(?=[0-9]*[a-f])[0-9a-f]{16,64}")
_LONG_NUMBER = re.compile(r"\d{13}")
_WORDLIKE = re.compile(r"[A-Z]?[a-z]{3,}")
ISO_TIME = (
    r"(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
    r"(?:[T ][0-2]\d:[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?(?:\s?(?:Z|[+-][0-2]\d:?[0-5]\d)(?!\d))?)?"
)
_DATED_NAME = r"[a-z][a-z0-9.]{0,30}(?:-[a-z0-9.]{1,20}){0,6}-20\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])"
"""Model names carry their date: claude-sonnet-4-5-20250929."""
_LETTER_AND_DIGIT = r"(?=[0-9]{0,31}[a-fA-F])(?=[a-fA-F]{0,31}[0-9])"


class IdRules:
    """The id rules for one set of prefixes."""

    def __init__(self, prefixes: tuple[str, ...]) -> None:
        self._prefixes = tuple(sorted(prefixes, key=len, reverse=True))
        alternatives = "|".join(map(re.escape, self._prefixes)) or r"(?!)"
        self._keep = re.compile(
            rf"{TOKEN.pattern}|(?<![\w@-])(?:{_UUID}|{_LETTER_AND_DIGIT}(?:[0-9a-fA-F]{{32}}|[0-9a-fA-F]{{16}})"
            rf"|(?:{alternatives})[A-Za-z0-9]{{16,64}}|{ISO_TIME}|{_DATED_NAME})(?![\w@-])"
        )

    def passes(self, kind: str, value: str) -> bool:
        """Whether an id of this kind (trace_id, span_id, id) has a shape that holds nothing personal."""
        if kind == "trace_id" and TRACE_ID.fullmatch(value):
            return True
        if kind == "span_id" and SPAN_ID.fullmatch(value):
            return True
        if _UUID_ONLY.fullmatch(value) or (TRACE_ID.fullmatch(value) and looks_random(value)):
            return True
        return self.is_prefixed(value)

    def is_prefixed(self, value: str) -> bool:
        """Whether a value is a configured prefix and at least 16 random-looking characters."""
        for prefix in self._prefixes:
            if value.startswith(prefix):
                return looks_random(value[len(prefix) :])
        return False

    def kept(self, text: str) -> list[tuple[int, int]]:
        """The ranges of a text that are tokens of ours, ids or ISO times."""
        ranges: list[tuple[int, int]] = []
        for match in self._keep.finditer(text):
            found = match[0]
            if "_" not in found or found[0] == "<" or self.is_prefixed(found):
                ranges.append(match.span())
        return ranges


def looks_random(body: str) -> bool:
    """Whether 16 to 64 characters change class as random ones do, and are not mostly words or one number.

    A random hexadecimal digit changes class with probability .47, so 16 of them have fewer than 3 changes
    once in 10,000; an IBAN, a card number or a name has at most 3. Lower-case hexadecimal may have fewer,
    as long as it holds letters and no run of digits long enough for a card.
    """
    if not _BODY.fullmatch(body):
        return False
    if _HEX.fullmatch(body) and not _LONG_NUMBER.search(body):
        return True
    changes = len(_CLASSES.findall(body)) - 1
    words = sum(len(w) for w in _WORDLIKE.findall(body) if re.search(r"[aeiou]", w))
    return changes >= 3 and words < 0.6 * len(body)
