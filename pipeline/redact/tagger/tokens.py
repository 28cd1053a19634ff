"""Text into tokens that cover it completely: linear time, whatever the text.

A token is a run of letters, of digits or of signs, with the one space before it, if any: the space
tells `HAT 123` from `HAT123`, and the lengths of the tokens alone give their offsets. Scripts written
without spaces give one token a character.
"""

import re

BOUNDARY = "\0"
"""Stands between texts that are read together, BOUNDARIES times: no token sees across them."""
BOUNDARIES = 3
MAX_LETTERS = 32
"""A longer run of letters is several tokens."""

_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7ff\uf900-\ufaff"
_SIGNS = (
    r"!-/:-@\[\]-`{-~\x80-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7\u060c\u061b\u061f"
    r"\u2000-\u206f\u3000-\u303f"
)
_DIGITS = r"0-9\u0660-\u0669\u06f0-\u06f9\u0966-\u096f"
# Letters are what is nothing else: marks that are written on letters belong to them.
_NO_LETTERS = rf"{_UNSPACED}{_SIGNS}{_DIGITS}\\\x00-\x20\x7f\u02c2-\u02df\u05be\u05c0\u05c3\u05f3\u05f4" + (
    r"\u2070-\u2bff\u2e00-\u33ff\ufe30-\ufe6f\uff00-\uff20\U0001f000-\U0001ffff"
)
# An escape that nothing decoded ends a word: `\\nBest` is no word.
_TOKEN = re.compile(
    rf" ?(?:[^{_NO_LETTERS}]{{1,{MAX_LETTERS}}}+|[{_SIGNS}]{{1,8}}+|[{_DIGITS}]{{1,16}}+|[{_UNSPACED}])"
    r"|[^\S\x00]{1,16}+|\\(?:u[0-9A-Fa-f]{4}|[nrt])|.",
    re.DOTALL,
)


def tokenize(text: str) -> list[str]:
    """The tokens; joined they are the text again."""
    return _TOKEN.findall(text)


def pack(texts: list[str]) -> list[str]:
    """The tokens of all texts, one after the other, with boundaries before, between and after them."""
    gap = BOUNDARY * BOUNDARIES
    # A text's own zero characters would be taken for boundaries: signs that mean nothing replace them.
    clean = (text.replace(BOUNDARY, "\x01") for text in texts)
    return tokenize(gap + gap.join(clean) + gap if texts else gap)
