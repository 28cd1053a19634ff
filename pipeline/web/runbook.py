"""The runbook on the incident page: whoever is woken should not have to look for it. Pure but for one read.

Our runbooks use little of Markdown: headings, paragraphs, lists, bold and code. That much is read here, into
values that the template escapes.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

Style = Literal["text", "bold", "code"]
_REPOSITORY = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
_NAME = re.compile(r"[a-z0-9_]{1,64}")
_ITEM = re.compile(r"(?:[-*]|(\d+)\.) +(.*)")
_PIECE = re.compile(r"\*\*(?P<bold>[^*]+)\*\*|`(?P<code>[^`]+)`|\[(?P<text>[^\]]+)\]\([^)]*\)")


class Piece(NamedTuple):
    """A run of text."""

    style: Style
    text: str


class Block(NamedTuple):
    """A heading, a paragraph or a list."""

    kind: Literal["heading", "paragraph", "steps", "points"]
    lines: list[list[Piece]]
    """One line; of a list, one an item."""


@lru_cache(maxsize=64)
def runbook(detector: str) -> list[Block]:
    """The runbook of a detector that ships; empty for any other."""
    if not _NAME.fullmatch(detector):
        return []
    for folder in (files("pipeline.web") / "runbooks", _REPOSITORY):
        file = folder / f"{detector}.md"
        if file.is_file():
            return list(parse(file.read_text(encoding="utf-8")))
    return []


def parse(text: str) -> Iterator[Block]:
    """The blocks of a runbook, without its title."""
    for part in re.split(r"\n\s*\n|\n(?=#)|(?<=\n)(?=#)", text.strip()):
        lines = part.strip().split("\n")
        if lines[0].startswith("# "):
            lines = lines[1:]
        if lines and lines[0].startswith("#"):
            yield Block("heading", [_pieces(lines[0].lstrip("# "))])
            lines = lines[1:]
        if lines and lines[0]:
            yield from _body(lines)


def _body(lines: list[str]) -> Iterator[Block]:
    first = _ITEM.match(lines[0])
    if first is None:
        yield Block("paragraph", [_pieces(" ".join(line.strip() for line in lines))])
        return
    items: list[str] = []
    for line in lines:
        item = _ITEM.match(line)
        if item is not None:
            items.append(item.group(2))
        else:
            items[-1] += " " + line.strip()
    yield Block("steps" if first.group(1) else "points", [_pieces(item) for item in items])


def _pieces(text: str) -> list[Piece]:
    pieces: list[Piece] = []
    at = 0
    for match in _PIECE.finditer(text):
        if match.start() > at:
            pieces.append(Piece("text", text[at : match.start()]))
        style: Style = "bold" if match.group("bold") else "code" if match.group("code") else "text"
        pieces.append(Piece(style, match.group("bold") or match.group("code") or match.group("text")))
        at = match.end()
    if at < len(text):
        pieces.append(Piece("text", text[at:]))
    return pieces
