"""Templates: text with slots `@{kind}`, `@{kind#1}` (the same person or thing again) and `@{one|another}`.

A rendered template is a list of pieces (text, label). The label "" is no label, IGNORE leaves the characters
out of training and of every count.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from training.corpus.split import Split, digest

Piece = tuple[str, str]
IGNORE = "IGNORE"

_FOLDER = Path(__file__).parent / "templates"
_SLOT = re.compile(r"@\{([^{}]*)\}")
_HELD_OUT_ONE_IN = 16
# Files of single cases, each of which says something that no other does.
_WHOLE = ("ambiguous", "plain", "talk", "local", "native")


class TemplateError(ValueError):
    """A template names a slot that does not exist."""


def pieces(
    template: str, fill: Callable[[str, str], list[Piece]], choose: Callable[[list[str]], str]
) -> list[Piece]:
    """Render: `fill(kind, number)` gives a slot's pieces, `choose` picks one of several wordings."""
    made: list[Piece] = []
    at = 0
    for match in _SLOT.finditer(template):
        if match.start() > at:
            made.append((template[at : match.start()], ""))
        at = match.end()
        inner = match.group(1)
        if "|" in inner:
            made.append((choose(inner.split("|")), ""))
        else:
            kind, _, number = inner.partition("#")
            made.extend(fill(kind, number))
    if at < len(template):
        made.append((template[at:], ""))
    return made


def joined(made: Iterable[Piece]) -> tuple[str, list[tuple[int, int, str]], list[tuple[int, int]]]:
    """(text, spans, ignored ranges); neighbouring pieces of one label stay apart."""
    texts: list[str] = []
    spans: list[tuple[int, int, str]] = []
    ignored: list[tuple[int, int]] = []
    at = 0
    for text, label in made:
        end = at + len(text)
        if label == IGNORE and text:
            ignored.append((at, end))
        elif label and text:
            spans.append((at, end, label))
        texts.append(text)
        at = end
    return "".join(texts), spans, ignored


@cache
def templates(name: str, split: Split = "train") -> tuple[str, ...]:
    """A file's templates: one a line with `\\n` for a line break; in `*.block.txt` between `---` lines.

    One in sixteen by a hash is held out, but of files of single cases: the dev samples are made of those, so
    that they show unseen wording.
    """
    single = _FOLDER / f"{name}.txt"
    if single.exists():
        lines = single.read_text(encoding="utf-8").splitlines()
        found = [line.replace("\\n", "\n") for line in lines if line and not line.startswith("%%")]
    else:
        blocks = (_FOLDER / f"{name}.block.txt").read_text(encoding="utf-8").split("\n---\n")
        found = [block.strip("\n") for block in blocks]
    if name in _WHOLE:
        return tuple(found)
    return tuple(one for one in found if (digest(one) % _HELD_OUT_ONE_IN == 0) == (split == "held_out"))


@cache
def names() -> tuple[str, ...]:
    """The names of all template files."""
    return tuple(
        sorted(path.name.removesuffix(".txt").removesuffix(".block") for path in _FOLDER.glob("*.txt"))
    )


def slots(template: str) -> tuple[str, ...]:
    """The kinds that a template asks for."""
    found = (match.group(1) for match in _SLOT.finditer(template))
    return tuple(inner.partition("#")[0] for inner in found if "|" not in inner)
