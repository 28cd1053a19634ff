"""Who looks at a text: one Hyperscan scan of every pattern and context word decides, on the safe side.

Each pattern is scanned in its loose form (`syntax.py`) over the text's shadow (`shadow.py`): both only ever
add matches. A pattern that has no loose form, or that Hyperscan refuses, is always open.
"""

import functools
import threading
from collections.abc import Mapping

import hyperscan

from pipeline.redact.find.compiled import Forms, database
from pipeline.redact.find.shadow import shadows

PATTERNS_AT_ONCE = 150
"""More than these are scanned in two goes: the time to compile grows faster than the number of patterns."""


class Gate:
    """Says by id which patterns may match. Thread-safe: each thread scans with a scratch of its own."""

    def __init__(self, patterns: Mapping[int, str]) -> None:
        """`patterns`: scan forms by id."""
        forms = tuple((identifier, form.encode()) for identifier, form in patterns.items())
        self._databases: list[hyperscan.Database] = []
        refused = set(patterns)
        for start in range(0, len(forms), PATTERNS_AT_ONCE):
            database, kept = _compiled(forms[start : start + PATTERNS_AT_ONCE])
            self._databases.append(database)
            refused -= kept
        self.always = frozenset(refused)
        """The ids that Hyperscan refused: always open."""
        self._own = threading.local()

    def open(self, text: str) -> set[int]:
        """The ids of the patterns that may match, `always` not counted."""
        found: set[int] = set()

        def seen(identifier: int, *_: object) -> None:
            found.add(identifier)

        for shadow in shadows(text):
            for kept, scratch in self._with_scratch():
                kept.scan(shadow, match_event_handler=seen, scratch=scratch)
        return found

    def _with_scratch(self) -> list[tuple[hyperscan.Database, hyperscan.Scratch]]:
        """The databases, each with this thread's scratch."""
        try:
            return self._own.pairs
        except AttributeError:
            self._own.pairs = [(database, hyperscan.Scratch(database)) for database in self._databases]
            return self._own.pairs


@functools.lru_cache(maxsize=8)
def _compiled(forms: Forms) -> tuple[hyperscan.Database, frozenset[int]]:
    """A database, and the ids in it; a form that alone makes it fail is left out."""
    try:
        return database(forms), frozenset(identifier for identifier, _ in forms)
    except hyperscan.error:
        kept = tuple(form for form in forms if _compiles(form))
        return database(kept), frozenset(identifier for identifier, _ in kept)


def _compiles(form: tuple[int, bytes]) -> bool:
    try:
        database((form,))
    except hyperscan.error:
        return False
    return True
