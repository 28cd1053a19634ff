"""Texts that are slow to examine: families of any size, to show that time grows with length alone."""

import json
import random
from collections.abc import Callable, Mapping

CYCLE = "Ann at 12 Hill St, ann@example.org; "


def _filled(unit: str) -> Callable[[int], str]:
    return lambda size: (unit * (size // len(unit) + 1))[:size]


def _drawn(alphabet: str) -> Callable[[int], str]:
    return lambda size: "".join(random.Random(size).choices(alphabet, k=size))


def _quotes(size: int) -> str:
    """JSON in a string in JSON in a string: each level doubles the backslashes."""
    text = "x"
    while len(text) < min(size, 60):
        text = json.dumps({"a": text})
    return _filled(text)(size)


def _integers(size: int) -> str:
    numbers = random.Random(size)
    return _joined(lambda: str(numbers.randrange(10**9, 10**10)), size)


def _words(size: int) -> str:
    letters = random.Random(size)
    return _joined(lambda: "".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=8)).title(), size)


def _joined(word: Callable[[], str], size: int) -> str:
    words: list[str] = []
    held = 0
    while held < size:
        words.append(word())
        held += len(words[-1]) + 1
    return " ".join(words)[:size]


FAMILIES: Mapping[str, Callable[[int], str]] = {
    "dots": _filled("."),
    "dotted words": _filled("a."),
    "digits": _filled("7"),
    "groups of digits": _filled("12 "),
    "ten-digit integers": _integers,
    "signs between digits": _filled("1-2.3/"),
    "@": _filled("@"),
    "addresses without an end": _filled("a@b."),
    "spaces": _filled(" "),
    "new lines": _filled("\n"),
    "colons": _filled("a:"),
    "nested quotes": _quotes,
    "backslashes": _filled("\\"),
    "percent signs": _filled("%41"),
    "base64": _drawn("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
    "hexadecimal": _drawn("0123456789abcdef"),
    "one long word": _drawn("abcdefghijklmnopqrstuvwxyz"),
    "new words, capitalised": _words,
    "mixed scripts": _filled("Ana Иван 李小龙 محمد a١٢٣ é\u200d"),
    "values in a row": _filled(CYCLE),
}
"""Each makes a text of so many characters."""
