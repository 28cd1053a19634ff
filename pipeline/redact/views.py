"""Decoded views of a string: what is hidden by escapes, percent encoding, URL queries or base64.

Each view maps its findings back to the characters of the original, so that nothing else of it changes.
"""

import base64
import binascii
import codecs
import html
import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote_plus

_ESCAPE = re.compile(
    r"(?P<json>\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\[nrtbf\"'/\\])"
    r"|(?P<html>&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|amp|lt|gt|quot|apos|commat|period|nbsp);)"
    r"|(?P<percent>(?:%[0-9a-fA-F]{2})+)"
)
_SHORT = {"n": "\n", "r": "\r", "t": "\t", "b": " ", "f": " "}
_QUERY = re.compile(r"(?<=[?&])([\w.\[\]%-]{1,64})=([^&\s#\"'<>]{1,4096})")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{12,}={0,2}")
_MAY_BEGIN_TEXT = frozenset("CDIJKLMNOPQRSTUVWXYZabcdefwxyz0123456789")
"""With any other, the first byte that base64 holds is a control or begins no character of UTF-8."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class View(NamedTuple):
    """A text to analyze. Its character i came from the original's `origin[i]`; without `origin`, any finding
    replaces the whole range `whole`, or, without both, the view is the original itself."""

    text: str
    key: str = ""
    origin: list[int] | None = None
    whole: tuple[int, int] | None = None

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where a finding of this view lies in the original."""
        if self.whole is not None:
            return self.whole
        return (self.origin[start], self.origin[end]) if self.origin is not None else (start, end)


class TooDeepError(Exception):
    """Encodings within encodings, deeper than allowed."""


def views(text: str, max_nesting: int) -> list[View]:
    """The text itself and everything that is encoded in it. Raises TooDeepError."""
    found = [View(text)]
    current = View(text)
    for _ in range(max_nesting):
        decoded = _unescape(current)
        if decoded is None:
            break
        found.append(decoded)
        current = decoded
    else:
        if _ESCAPE.search(current.text):
            raise TooDeepError
    for view in list(found):
        found += _inner(view, max_nesting)
    return found


def without_surrogates(text: str) -> str:
    """Pairs joined, lone halves replaced: text that can be encoded."""
    if text.isascii():
        return text
    try:
        text.encode()  # seven times as fast as to search for one
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _inner(view: View, max_nesting: int) -> Iterator[View]:
    for match in _QUERY.finditer(view.text) if "=" in view.text else ():
        whole = view.place(*match.span(2))
        value = unquote_plus(match[2])
        yield View(value, key=unquote_plus(match[1]), whole=whole)
        if max_nesting > 1:
            yield from _hidden(value, whole, max_nesting - 1)
    for match in _BASE64.finditer(view.text):
        decoded = _base64_text(match[0])
        if decoded is not None:
            whole = view.place(*match.span())
            if max_nesting <= 1:
                raise TooDeepError
            yield View(decoded, whole=whole)
            yield from _hidden(decoded, whole, max_nesting - 1)


def _hidden(text: str, whole: tuple[int, int], max_nesting: int) -> Iterator[View]:
    for inner in views(text, max_nesting)[1:]:
        yield View(inner.text, key=inner.key, whole=whole)


def _unescape(view: View) -> View | None:
    """One round of decoding; None where there is nothing to decode."""
    text = view.text
    if "\\" not in text and "%" not in text and "&" not in text:
        return None
    pieces: list[str] = []
    origin: list[int] = []
    last = 0
    for match in _ESCAPE.finditer(text):
        pieces.append(text[last : match.start()])
        origin += range(last, match.start())
        for character, offset in _decoded(match):
            pieces.append(character)
            origin.append(match.start() + offset)
        last = match.end()
    if last == 0:
        return None
    pieces.append(text[last:])
    origin += range(last, len(text) + 1)
    outer = view.origin
    if outer is not None:
        origin = [outer[i] for i in origin]
    decoded = _SURROGATE.sub("\ufffd", "".join(pieces))
    return View(decoded, origin=origin)


def _decoded(match: re.Match[str]) -> Iterator[tuple[str, int]]:
    """(character, offset within the match) pairs."""
    escape = match[0]
    if match.lastgroup == "percent":
        offset = 0
        for character in bytes.fromhex(escape.replace("%", "")).decode("utf-8", "replace"):
            yield character, offset
            offset += 3 * (1 if character == "\ufffd" else len(character.encode()))
    elif match.lastgroup == "html":
        yield html.unescape(escape)[:1] or " ", 0
    elif escape[1] in "ux":
        yield chr(int(escape[2:], 16)), 0
    else:
        yield _SHORT.get(escape[1], escape[1]), 0


def _base64_text(blob: str) -> str | None:
    """The text that a base64 blob holds; None where it holds none."""
    if blob[0] not in _MAY_BEGIN_TEXT:
        return None
    body = blob.rstrip("=").replace("-", "+").replace("_", "/")
    if len(body) > 48 and _plain(body[:48]) is None:
        return None
    return _plain(body)


def _plain(body: str) -> str | None:
    body = body[: len(body) - (len(body) % 4 == 1)]
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4))
        # The head of a longer blob may end within a character.
        text = codecs.getincrementaldecoder("utf-8")().decode(raw)
    except (binascii.Error, ValueError):
        return None
    readable = len(text) >= 4 and all(c.isprintable() or c in "\r\n\t" for c in text)
    return text if readable else None
