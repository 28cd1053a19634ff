"""A plain rewriting of JSON text, token by token: what the walk of payloads must be equal to."""

import json
import re
from collections.abc import Callable
from json.decoder import scanstring

from pipeline.redact.payload import is_json
from pipeline.redact.pseudonym import failure

_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[^\s,\]}]+")

Change = Callable[[str], str]


def rewritten(text: str, change: Change, nesting: int) -> str:
    """A JSON text with `change` applied to each string and key, JSON in strings opened `nesting` times."""
    out, end = _value(text, _SPACE.match(text).end(), change, nesting)
    return text[: _SPACE.match(text).end()] + out + text[end:]


def _value(text: str, at: int, change: Change, nesting: int) -> tuple[str, int]:
    if text[at] == '"':
        return _string(text, at, change, nesting)
    if text[at] not in "{[":
        end = _SCALAR.match(text, at).end()
        return text[at:end], end
    pieces, closer = [text[at]], "}" if text[at] == "{" else "]"
    at += 1
    while True:
        space = _SPACE.match(text, at).end()
        pieces.append(text[at:space])
        at = space
        if text[at] == closer:
            return "".join([*pieces, closer]), at + 1
        if text[at] == ",":
            pieces.append(",")
            at += 1
            continue
        if closer == "}":
            key, end = scanstring(text, at + 1, False)
            pieces.append(_token(text[at:end], key, change(key) if key else key))
            colon = _SPACE.match(text, _SPACE.match(text, end).end() + 1).end()
            pieces.append(text[end:colon])
            at = colon
        out, at = _value(text, at, change, nesting)
        pieces.append(out)


def _string(text: str, at: int, change: Change, nesting: int) -> tuple[str, int]:
    value, end = scanstring(text, at + 1, False)
    if is_json(value):
        if nesting == 0:
            return _token(text[at:end], value, failure("nested_too_deep", len(value))), end
        return _token(text[at:end], value, rewritten(value, change, nesting - 1)), end
    return _token(text[at:end], value, change(value) if len(value) > 2 else value), end


def _token(raw: str, before: str, after: str) -> str:
    return raw if after == before else json.dumps(after, ensure_ascii=False)
