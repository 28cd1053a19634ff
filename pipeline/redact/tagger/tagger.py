"""Names and places in texts, by our own model: batched, remembered by line, the same however called."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

from pipeline.redact.config import RedactionConfig
from pipeline.redact.memo import Memo
from pipeline.redact.spans import Span, segments
from pipeline.redact.tagger.decode import decode
from pipeline.redact.tagger.gazetteer import Gazetteer
from pipeline.redact.tagger.model import Model
from pipeline.redact.tagger.tokens import BOUNDARIES, pack
from pipeline.redact.tagger.weights import Weights

FOLDER = Path(__file__).parent
NAME = "TaggerRecognizer"
ENTITY_OF = {
    "PERSON": "PERSON",
    "ADDRESS": "STREET_ADDRESS",
    "PLACE": "LOCATION",
    "NRP": "NRP",
    "ORG": "ORGANIZATION",
}
BATCH_CHARS = 64 << 10
"""Read at once."""
_WORTH = re.compile(r"[^\W\d_]{2}|[\u3040-\u9fff\uac00-\ud7ff]")

Found = tuple[tuple[int, int, str, float], ...]


class Tagger:
    """The model and what it found before. One a process and configuration; not for two threads at once."""

    def __init__(self, config: RedactionConfig, folder: Path = FOLDER) -> None:
        self._model = Model(Weights.load(folder / "weights.npz"), Gazetteer.load(folder / "gazetteer.npz"))
        self._entities = _wanted(config)
        self._memo: Memo[Found] = Memo(config.memo_bytes // 4)

    def find(self, texts: Sequence[str]) -> dict[str, list[Span]]:
        """The findings of each text, in order."""
        cut = {text: segments(text) for text in texts}
        found = self._read(dict.fromkeys(s for parts in cut.values() for _, s in parts if _WORTH.search(s)))
        return {
            text: [
                Span(offset + start, offset + end, entity, score, NAME)
                for offset, segment in parts
                for start, end, entity, score in found.get(segment, ())
            ]
            for text, parts in cut.items()
        }

    def _read(self, wanted: Iterable[str]) -> dict[str, Found]:
        known: dict[str, Found] = {}
        unread: list[str] = []
        chars = 0
        for segment in wanted:
            found = self._memo.get(segment)
            if found is not None:
                known[segment] = found
                continue
            unread.append(segment)
            chars += len(segment)
            if chars >= BATCH_CHARS:
                known |= self._remembered(unread)
                unread, chars = [], 0
        return known | self._remembered(unread) if unread else known

    def _remembered(self, unread: list[str]) -> dict[str, Found]:
        found = dict(zip(unread, self._found(unread), strict=True))
        for segment, entities in found.items():
            self._memo.put(segment, entities, len(segment) * 2)
        return found

    def _found(self, texts: list[str]) -> list[Found]:
        tokens = pack(texts)
        strengths = self._model.read(tokens)
        ends = list(accumulate(map(len, tokens)))
        starts = list(accumulate((BOUNDARIES + len(text) for text in texts), initial=BOUNDARIES))
        found: list[list[tuple[int, int, str, float]]] = [[] for _ in texts]
        for run in decode(tokens, strengths):
            entity = ENTITY_OF[run.tag]
            if entity in self._entities:
                start = ends[run.start] - len(tokens[run.start].lstrip(" "))
                number = bisect_right(starts, start) - 1
                low = starts[number]
                found[number].append((start - low, ends[run.end - 1] - low, entity, run.score))
        return [tuple(spans) for spans in found]


def _wanted(config: RedactionConfig) -> frozenset[str]:
    """What is asked for; who asks for places wants addresses."""
    asked = set(config.entities)
    return frozenset(asked | {"STREET_ADDRESS"} if "LOCATION" in asked else asked)
