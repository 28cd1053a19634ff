"""The walk of payloads gives what a plain rewriting gives, byte for byte, whatever was remembered."""

import json
import random
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.walk import rewritten

from pipeline.redact.batch import Batch, Memory
from pipeline.redact.leaf import Redacted
from pipeline.redact.payload import Reader
from pipeline.redact.places import Places
from pipeline.redact.tree import Leaf

NESTING = 3


def _change(text: str) -> str:
    """Some texts change, some do not; what comes out needs escapes."""
    return text.replace("a", '"A\n').replace("7", "") if "x" not in text else text


class _Work:
    def resolve(self, leaves: Sequence[Leaf]) -> None:
        for leaf in leaves:
            leaf.resolve(Redacted(_change(leaf.text), {"T": 1} if "a" in leaf.text else {}))


MEMORY = Memory(200_000)
PLACES = Places(None)


def _walked(texts: Sequence[str], memory: Memory = MEMORY) -> list[str]:
    """JSON texts in one batch."""
    batch = Batch(memory)
    reader = Reader(batch, PLACES, lambda policy: policy)
    nodes = [reader.json(text.encode(), PLACES.root(0), NESTING) for text in texts]
    batch.finish(_Work())
    return [text if node.out is None else node.out.decode() for text, node in zip(texts, nodes, strict=True)]


def _expected(text: str) -> str:
    return rewritten(text, _change, NESTING)


class _Writer:
    """Writes JSON in many ways: escapes, white space, keys that come twice, JSON in strings."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._pick = self._random.choice

    def document(self, depth: int = 4) -> str:
        pieces: list[str] = []
        is_object = self._pick((True, False))
        comma, colon = self._pick(((",", ":"), (", ", ": "), (" ,\n", " :\t")))
        for _ in range(self._random.randrange(5)):
            key = self._string(self._text()) + colon if is_object else ""
            pieces.append(key + self._value(depth - 1))
        body = comma.join(pieces) + self._pick(("", "", " "))
        return f"{{{body}}}" if is_object else f"[{body}]"

    def _value(self, depth: int) -> str:
        kind = self._random.randrange(8 if depth > 0 else 5)
        if kind >= 6:
            return self.document(depth)
        if kind == 5:
            return self._string(self.document(depth))
        if kind == 4:
            return self._pick(("true", "false", "null"))
        if kind == 3:
            return self._pick(("0", "-0", "1.50", "1E400", "-12345678901234567890123", "1e-7", "129.00"))
        return self._string(self._text())

    def _text(self) -> str:
        return "".join(self._random.choices('abxyz7 "\\{}[]:,\n/é\u2028😀', k=self._random.randrange(9)))

    def _string(self, text: str) -> str:
        plain = json.dumps(text, ensure_ascii=False)
        written = (plain, plain.replace("/", "\\/"), json.dumps(text), msgspec.json.encode(text).decode())
        return self._pick(written)


def _documents(seed: int, count: int) -> list[str]:
    writer = _Writer(seed)
    return [writer.document() for _ in range(count)]


@pytest.mark.parametrize("seed", range(8))
def test_the_walk_is_the_plain_rewriting(seed: int) -> None:
    texts = _documents(seed, 400)
    assert sum(map(len, texts)) > 20_000
    for start in range(0, len(texts), 3):
        some = texts[start : start + 3]
        assert _walked(some) == [_expected(text) for text in some]


@settings(deadline=None, max_examples=50)
@given(st.recursive(st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s) | s.map(json.dumps)))
def test_any_text_in_any_json(value: object) -> None:
    text = json.dumps([value])
    assert _walked([text]) == [_expected(text)]


@pytest.mark.parametrize("seed", range(4))
def test_a_history_that_grows_gives_the_same_however_much_is_remembered(seed: int) -> None:
    long = [json.dumps({"n": "y" * 400, "t": text}) for text in _documents(seed, 12)]
    grown = [f"[{','.join(long[: n + 1])}]" for n in range(len(long))]
    memory = Memory(300_000)
    for text in grown:
        assert _walked([text], memory) == _walked([text], Memory(0)) == [_expected(text)]
    assert _walked(grown, memory) == [_expected(text) for text in grown]


def test_pieces_of_json_written_in_any_way_keep_their_bytes() -> None:
    for text in (
        '{"a x": [1.50, 1E400, -0, 12345678901234567890123], "x": "\\u0041x\\/"}',
        '{"x1":"x","x1":"x2x","x1":{"x":[]}}',
        '[\n  {"x": "x x x"},\n\t[ ]\n]',
        '["[1, 2 , {\\"x\\": \\"x\\\\u00e9\\"}]"]',
    ):
        assert _walked([text]) == [text] == [_expected(text)]
