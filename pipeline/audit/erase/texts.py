"""Looked-for texts in JSON that is no segment: found, and replaced where the rest must stay."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from schemas.erasure import Scope

if TYPE_CHECKING:
    from pipeline.audit.erase.values import Needles

ERASED = "<ERASED>"


class Texts:
    """What names the person, trace or session that is erased. False where only an age or an agent is."""

    def __init__(self, scope: Scope, looked_for: Needles | None) -> None:
        named = [scope.trace_id, scope.session_id, scope.end_user, *scope.pseudonyms]
        plain = [text for text in named if text]
        numbers: list[str] = []
        if looked_for is not None:
            plain += [*looked_for.pseudonyms, *looked_for.raw]
            numbers += looked_for.numbers
        alternatives = [re.escape(text) for text in sorted(plain, key=len, reverse=True)]
        alternatives += [rf"(?<!\d){text}(?!\d)" for text in numbers]
        self._pattern = re.compile("|".join(alternatives), re.IGNORECASE) if alternatives else None

    def __bool__(self) -> bool:
        return self._pattern is not None

    def are_in(self, content: bytes | str | None) -> bool:
        """Whether one of them is in there."""
        return self._pattern is not None and self._pattern.search(_text(content)) is not None

    def out_of(self, content: bytes) -> bytes:
        """The JSON with each of them replaced. They stand within strings, so it stays JSON."""
        return content if self._pattern is None else self._pattern.sub(ERASED, _text(content)).encode()


def _text(content: bytes | str | None) -> str:
    return content.decode("utf-8", "surrogateescape") if isinstance(content, bytes) else content or ""
