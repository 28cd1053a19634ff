"""Where the phrases and patterns of a list stand in a text: in time linear in the text.

Phrases are found as whole words, in any case, with white space, `_` or `-` between their words. Thousands of
them share one pattern, in which what they have in common at the beginning is written once.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from pipeline.errors import ConfigError

_Trie: TypeAlias = "dict[str, _Trie]"
_END = ""
MAX_PATTERN_BYTES = 16 << 20
"""Memory that RE2 may take for one pattern."""


_Find: TypeAlias = Callable[[str], Iterable[Any]]
"""The matches in a text, of `re` or of RE2."""


class Finder:
    """Finds one list's phrases and patterns. Raises ConfigError for a pattern that RE2 cannot take; `where`
    names the option."""

    def __init__(self, phrases: Iterable[str], patterns: Sequence[str], where: str) -> None:
        self._finds: list[_Find] = []
        words = _trie(phrases)
        if words:
            # At any place one branch at most goes on for each character: no more work for more phrases.
            whole = re.compile(rf"(?<![^\W_])(?:{_written(words)})(?![^\W_])", re.IGNORECASE)
            self._finds.append(whole.finditer)
        self._finds += [_linear(p, f"{where}.patterns.{n}") for n, p in enumerate(patterns)]

    def __bool__(self) -> bool:
        return bool(self._finds)

    def find(self, text: str) -> list[tuple[int, int]]:
        """The ranges that match, in no particular order; they may overlap."""
        found = (m.span() for find in self._finds for m in find(text))
        return [(start, end) for start, end in found if start < end]


def _trie(phrases: Iterable[str]) -> _Trie:
    root: _Trie = {}
    for phrase in phrases:
        spaced = " ".join(phrase.split())
        for form in {unicodedata.normalize(form, spaced) for form in ("NFC", "NFD")}:
            node = root
            for character in form:
                lower = character.lower()
                node = node.setdefault(lower if len(lower) == 1 else character, {})
            node[_END] = {}
    return root


def _written(node: _Trie) -> str:
    """A pattern of every phrase below a node, the longer before the shorter."""
    branches = [_step(c) + _written(below) for c, below in sorted(node.items()) if c != _END]
    if not branches:
        return ""
    body = branches[0] if len(branches) == 1 and _END not in node else f"(?:{'|'.join(branches)})"
    return body + ("?" if _END in node else "")


def _step(character: str) -> str:
    return r"[\s_-]{1,8}" if character == " " else re.escape(character)


def _linear(pattern: str, where: str) -> _Find:
    import re2 as untyped

    re2: Any = untyped
    refused: type[Exception] = re2.error
    options = re2.Options()
    options.max_mem = MAX_PATTERN_BYTES
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options=options)
    except refused as error:
        reason = str(error.args[0], "utf-8", "replace")
        raise ConfigError(
            f"{where}: not a pattern that RE2 can match in linear time: {reason}; "
            "write it without look-around and back-references"
        ) from None
    if compiled.fullmatch("") is not None:
        raise ConfigError(f"{where}: matches the empty text, and so everywhere; write what must be there")
    return compiled.finditer
