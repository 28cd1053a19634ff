"""Mutations of messages: of their bytes, of their JSON, of their protobuf fields."""

import gzip
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

MAX_BYTES, LARGEST_BYTES, LARGE_SHARE = 60_000, 4_000_000, 0.003
"""What becomes larger is cut; now and then only at the second."""
HARD_TEXTS = (
    "",
    "\0",
    "\ud83d",
    "\u202e" * 50,
    "a" * 40_000,
    "é" * 5_000,
    "{" * 300,
    '{"a":' * 200 + "1" + "}" * 200,
    '"' * 1_000,
    "\\" * 999,
    "4111 1111 1111 1111",
    "+44 7700 900123 " * 500,
    "jane.doe@example.com " * 400,
    "Dear Jane Doe, " * 400,
    "00000000000000000000000000000000",
    "DE89370400440532013000",
    "https://user:pass@[::1]:99999/%zz?a=b&a",
    "-----BEGIN PRIVATE KEY-----",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.",
    "1e999",
    "\u200b\u200d\ufeff",
    "İ" * 200,
    "ﬀ" * 300,
)
HARD_NUMBERS = (
    0,
    -1,
    1,
    2**31,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    2**64,
    10**40,
    1e308,
    -0.0,
    0.1,
    253402300800 * 10**9,
)
Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutated(chance: random.Random, message: bytes, others: Sequence[bytes], form: str) -> bytes:
    """The message after one to four mutations that suit its form; `others` are there to be mixed in."""
    most = LARGEST_BYTES if chance.random() < LARGE_SHARE else MAX_BYTES
    of_form = _OF_PROTO if form.endswith("proto") else _OF_JSON
    for _ in range(chance.choice((1, 1, 1, 2, 2, 4))):
        pool = of_form if chance.random() < 0.75 else _OF_BYTES
        message = chance.choice(pool)(chance, message, others)[:most]
    return message


def _flip(chance: random.Random, message: bytes, _: Sequence[bytes]) -> bytes:
    changed = bytearray(message or b"\0")
    for _ in range(chance.choice((1, 1, 3, 20))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(chance: random.Random, message: bytes, _: Sequence[bytes]) -> bytes:
    low, high = _span(chance, message)
    return message[:low] + message[high:]


def _truncate(chance: random.Random, message: bytes, _: Sequence[bytes]) -> bytes:
    return message[: chance.randrange(len(message) + 1)]


def _repeat(chance: random.Random, message: bytes, _: Sequence[bytes]) -> bytes:
    low, high = _span(chance, message)
    return message[:high] + message[low:high] * chance.choice((1, 2, 50)) + message[high:]


def _insert(chance: random.Random, message: bytes, _: Sequence[bytes]) -> bytes:
    at = chance.randrange(len(message) + 1)
    return message[:at] + chance.randbytes(chance.choice((1, 2, 8, 200))) + message[at:]


def _splice(chance: random.Random, message: bytes, others: Sequence[bytes]) -> bytes:
    other = chance.choice(others)
    return message[: chance.randrange(len(message) + 1)] + other[chance.randrange(len(other) + 1) :]


def _join(chance: random.Random, message: bytes, others: Sequence[bytes]) -> bytes:
    return message + chance.choice((b"", b"\n", b"\r\n", b",", b"\0")) + chance.choice(others)


def _dress(chance: random.Random, message: bytes, _: Sequence[bytes]) -> bytes:
    """Another encoding around the same text."""
    return chance.choice(
        (
            lambda: gzip.compress(message, 1),
            lambda: b"\xef\xbb\xbf" + message,
            lambda: message.decode(errors="replace").encode("utf-16"),
            lambda: b"[" + message + b"]",
            lambda: json.dumps(message.decode(errors="replace")).encode(),
            lambda: b" " * 1_000 + message,
        )
    )()


def _numbers(chance: random.Random, message: bytes, _: Sequence[bytes]) -> bytes:
    """Put a hard number where digits stand, without parsing: JSON may then say what no parser writes."""
    places = [at for at in range(len(message)) if message[at : at + 1].isdigit()]
    if not places:
        return message
    at = chance.choice(places)
    end = at
    while end < len(message) and message[end : end + 1].isdigit():
        end += 1
    written = chance.choice(
        (*map(str, HARD_NUMBERS), "NaN", "Infinity", "-", "01", "1e400", "9" * 400)
    ).encode()
    return message[:at] + written + message[end:]


def _json_edit(chance: random.Random, message: bytes, others: Sequence[bytes]) -> bytes:
    """Change one place of the parsed document; bytes that do not parse are flipped instead."""
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):
        return _flip(chance, message, others)
    places = list(_places(document))
    if not places:
        return message
    where, key = chance.choice(places)
    _EDITS[chance.randrange(len(_EDITS))](chance, where, key)
    try:
        return json.dumps(document, ensure_ascii=chance.random() < 0.5).encode(errors="surrogatepass")
    except (ValueError, RecursionError):
        return message


def _places(document: Any):
    waiting = [document]
    while waiting:
        one = waiting.pop()
        keys = one.keys() if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in list(keys):
            yield one, key
            if isinstance(one[key], dict | list):
                waiting.append(one[key])


def _hard_value(chance: random.Random) -> Any:
    return chance.choice(
        (
            None,
            True,
            [],
            {},
            chance.choice(HARD_TEXTS),
            chance.choice(HARD_TEXTS),
            chance.choice(HARD_NUMBERS),
            [chance.choice(HARD_TEXTS)] * chance.choice((1, 1, 30)),
            {chance.choice(HARD_TEXTS): chance.choice(HARD_NUMBERS)},
            _deep(chance.choice((5, 40, 300))),
        )
    )


def _deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"d": [value]}
    return value


def _replace(chance: random.Random, where: Any, key: Any) -> None:
    where[key] = _hard_value(chance)


def _delete(chance: random.Random, where: Any, key: Any) -> None:
    del where[key]


def _grow(chance: random.Random, where: Any, key: Any) -> None:
    if isinstance(where[key], str):
        where[key] += chance.choice(HARD_TEXTS)
    elif isinstance(where[key], list):
        where[key] *= chance.choice((2, 2, 20))
    else:
        where[key] = [where[key]] * 3


def _rename(chance: random.Random, where: Any, key: Any) -> None:
    if isinstance(where, dict):
        where[chance.choice((key.upper(), key + "_", chance.choice(HARD_TEXTS), "attributes"))] = where.pop(
            key
        )


def _nest(chance: random.Random, where: Any, key: Any) -> None:
    where[key] = json.dumps(where[key]) if chance.random() < 0.5 else {"value": where[key]}


_EDITS = (_replace, _replace, _delete, _grow, _rename, _nest)


def _proto_edit(chance: random.Random, message: bytes, others: Sequence[bytes]) -> bytes:
    """Change one field of one level: its number, its kind, its length, or what is in it."""
    path, content = [], message
    for _ in range(chance.randrange(6)):
        fields = [field for field in _fields(content) if field[1] - field[0] > 2]
        if not fields:
            break
        low, high, inner = chance.choice(fields)
        if inner is None:
            break
        path.append((content, inner, high))
        content = content[inner:high]
    changed = chance.choice(_OF_BYTES)(chance, content, others) if content else chance.randbytes(4)
    for outer, inner, high in reversed(path):
        low = next(low for low, end, at in _fields(outer) if (at, end) == (inner, high))
        length = len(changed) if chance.random() < 0.9 else chance.randrange(1 << 20)
        changed = outer[:low] + _tag_of(outer, low) + _varint(length) + changed + outer[high:]
    return changed


def _fields(content: bytes) -> list[tuple[int, int, int | None]]:
    """(start, end, start of what is inside, where it is of a length) of each field."""
    found: list[tuple[int, int, int | None]] = []
    at = 0
    try:
        while at < len(content):
            tag, after = _read_varint(content, at)
            wire, inner = tag & 7, None
            if wire == 0:
                _, end = _read_varint(content, after)
            elif wire == 1:
                end = after + 8
            elif wire == 2:
                length, inner = _read_varint(content, after)
                end = inner + length
            elif wire == 5:
                end = after + 4
            else:
                break
            if end > len(content):
                break
            found.append((at, end, inner))
            at = end
    except IndexError:
        pass
    return found


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128 or shift > 70:
            return value, at


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag_of(content: bytes, at: int) -> bytes:
    return content[at : _read_varint(content, at)[1]]


def _span(chance: random.Random, message: bytes) -> tuple[int, int]:
    low = chance.randrange(len(message) + 1)
    return low, min(len(message), low + chance.choice((1, 4, 30, 500)))


_OF_BYTES: tuple[Mutation, ...] = (_flip, _flip, _cut, _truncate, _repeat, _insert, _splice, _join, _dress)
_OF_JSON: tuple[Mutation, ...] = (_json_edit, _json_edit, _json_edit, _numbers)
_OF_PROTO: tuple[Mutation, ...] = (_proto_edit, _proto_edit, _flip)
