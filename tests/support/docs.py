"""The documentation as tests read it: pages, fenced blocks, commands."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
GENERATOR = ROOT / "scripts" / "docs"
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/*/*.md")])

_FENCE = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(auditfuse [^`]+)`")

if str(GENERATOR) not in sys.path:
    sys.path.append(str(GENERATOR))


class Fence(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    text: str


class Shown(NamedTuple):
    """A command line of auditfuse that a page shows."""

    page: str
    arguments: list[str]
    is_whole: bool
    """False for a mention in running text, which may leave out what is required."""


def fences() -> Iterator[Fence]:
    """Every fenced block of every page."""
    for page in PAGES:
        for match in _FENCE.finditer(page.read_text()):
            yield Fence(str(page.relative_to(ROOT)), match[2], match[3])


def shown_commands() -> Iterator[Shown]:
    """Every auditfuse command of every page: in shell blocks, and in running text."""
    for fence in fences():
        if fence.language in ("", "sh", "bash", "console"):
            for line in fence.text.replace("\\\n", " ").splitlines():
                yield from (Shown(fence.page, found, True) for found in commands_in(line))
    for page in PAGES:
        text = _FENCE.sub("", page.read_text())
        for match in _INLINE.finditer(text):
            name = str(page.relative_to(ROOT))
            yield from (Shown(name, found, False) for found in commands_in(match[1]))


def commands_in(line: str) -> Iterator[list[str]]:
    """The arguments of each `auditfuse …` in a line of shell: `x | auditfuse sql "…" > y` has one."""
    for start in re.finditer(r"(?:^|[\s(|]|\.venv/bin/)auditfuse(?=\s)", line):
        rest = line[start.end() :]
        lexer = shlex.shlex(rest, posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        arguments: list[str] = []
        for word in lexer:
            if set(word) <= set("|&;<>()"):
                break
            arguments.append(word)
        if arguments:
            yield arguments
