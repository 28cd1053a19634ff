"""The bytes that the one scan reads: of ASCII text the text, of other text a stand-in for each character.

A letter or mark beyond ASCII becomes `_`, a digit its ASCII digit, white space a space, anything else DEL;
what a caseless pattern takes for an ASCII letter becomes that letter. So `\\b` and the classes of a scan
form (`syntax.py`) hold for the shadow wherever they hold for the text.
"""

import functools
import re
import unicodedata

import regex

OTHER = "\x7f"
_FOLDED = {"ſ": "s", "K": "k", "İ": "i", "ı": "i"}
"""What `re` or `regex` take for an ASCII letter where case is ignored."""
SAMPLES = ("é", "É", "中", "ª", "²", "Ⅰ", "\u0301", "ा", "\u200d", "٣", "\xa0", "\u2028", "—", "😀", *_FOLDED)
"""A character of each kind that classes tell apart."""


class _Table(dict[int, str]):
    """`str.translate`'s table for one module's idea of a word; filled as characters turn up."""

    def __init__(self, word: "re.Pattern[str] | regex.Pattern[str]") -> None:
        super().__init__()
        self._word = word

    def __missing__(self, code: int) -> str:
        self[code] = standing = self._stand_in(chr(code))
        return standing

    def _stand_in(self, character: str) -> str:
        if character.isascii():
            return character
        if character in _FOLDED:
            return _FOLDED[character]
        if character.isdecimal() or regex.match(r"\d", character):
            return str(unicodedata.decimal(character, 0))
        if character.isspace() or regex.match(r"\s", character):
            return " "
        return "_" if self._word.match(character) else OTHER


_BY_REGEX = _Table(regex.compile(r"\w"))
_BY_RE = _Table(re.compile(r"\w"))


def shadows(text: str) -> tuple[bytes, ...]:
    """One shadow, or two where `re` and `regex` differ on what is of a word; each as long as the text."""
    if text.isascii():
        return (text.encode(),)
    first, second = text.translate(_BY_REGEX), text.translate(_BY_RE)
    return (first.encode(),) if first == second else (first.encode(), second.encode())


@functools.cache
def stand_ins(character: str) -> frozenset[int]:
    """The bytes that may stand for a character; for a digit all ten, since its sample stands for all."""
    if character.isdecimal():
        return frozenset(range(ord("0"), ord("9") + 1))
    return frozenset(ord(table[ord(character)]) for table in (_BY_REGEX, _BY_RE))
