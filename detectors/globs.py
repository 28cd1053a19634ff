"""Globs: case-sensitive, with `*`, `?` and `[…]`, as everywhere in the configuration."""

import fnmatch
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

from pydantic import StringConstraints

Glob = Annotated[str, StringConstraints(min_length=1, max_length=256)]
REMEMBERED = 10_000
"""Lists of globs whose patterns are kept."""


def compile_globs(globs: Sequence[str]) -> re.Pattern[str]:
    """One pattern for all globs; no glob matches nothing."""
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs) or r"(?!)")


def first_match(globs: tuple[str, ...], text: str | None) -> str | None:
    """The first glob that covers a text; "" where there are no globs, None where none covers it."""
    if not globs:
        return ""
    if text is None or not _compiled(globs).match(text):
        return None
    return next(glob for glob in globs if fnmatch.fnmatchcase(text, glob))


@lru_cache(REMEMBERED)
def _compiled(globs: tuple[str, ...]) -> re.Pattern[str]:
    return compile_globs(globs)
