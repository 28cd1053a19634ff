"""Names, places and nationalities by spaCy: the ner-only pipe, batched over unique segments."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.redact.config import RedactionConfig
from pipeline.redact.memo import Memo
from pipeline.redact.spans import Span, segments

_LONG_WORD = re.compile(r"\S{100,}")
_WORTH = re.compile(r"[^\W\d_]{2}")
_MACHINE = re.compile(r"[a-z0-9_./:@-]*|[A-Z0-9_-]{1,8}|\S*[\d_]\S*")
BATCH = 128

Found = tuple[tuple[int, int, str], ...]


def worth_reading(text: str) -> bool:
    """Whether a text can hold a name: it has letters and is no single machine word (`one_way`, `HAT123`)."""
    return bool(_WORTH.search(text)) and not _MACHINE.fullmatch(text)


class NameFinder:
    """spaCy's entities with Presidio's mapping and score. The model loads at the first use."""

    def __init__(self, config: RedactionConfig) -> None:
        self._config = config
        self._nlp: Any = None
        self._labels: dict[str, str] = {}
        self._score = 0.0
        self._memo: Memo[Found] = Memo(config.memo_bytes // 4)

    def find(self, texts: Sequence[str]) -> dict[str, list[Span]]:
        """The findings of each text; texts not worth reading have none."""
        cut = {text: segments(text) for text in texts if worth_reading(text)}
        wanted = dict.fromkeys(s for parts in cut.values() for _, s in parts if worth_reading(s))
        found = self._read(wanted)
        return {
            text: [
                Span(offset + start, offset + end, label, self._score, "SpacyRecognizer")
                for offset, segment in parts
                for start, end, label in found.get(segment, ())
            ]
            for text, parts in cut.items()
        }

    def _read(self, wanted: Iterable[str]) -> dict[str, Found]:
        known: dict[str, Found] = {}
        unread: list[str] = []
        for segment in wanted:
            entities = self._memo.get(segment)
            if entities is None:
                unread.append(segment)
            else:
                known[segment] = entities
        # Texts of like length share a batch: less padding of the work, and the results are the same.
        unread.sort(key=len)
        if unread:
            for segment, entities in zip(unread, self._entities(unread), strict=True):
                known[segment] = entities
                self._memo.put(segment, entities, len(segment) * 2)
        return known

    def _entities(self, segments_: list[str]) -> list[Found]:
        nlp = self._loaded()
        # Long "words" are blobs: masked, since the tokenizer's time grows with their square.
        masked = (_LONG_WORD.sub(lambda m: "X" * len(m[0]), s) for s in segments_)
        with nlp.memory_zone():  # without it the vocabulary grows with every new word, for days
            return [
                tuple(
                    (e.start_char, e.end_char, self._labels[e.label_])
                    for e in doc.ents
                    if e.label_ in self._labels
                )
                for doc in nlp.pipe(masked, batch_size=BATCH)
            ]

    def _loaded(self) -> Any:
        if self._nlp is None:
            import spacy
            from presidio_analyzer.nlp_engine import NerModelConfiguration

            ner = NerModelConfiguration()
            mapping = ner.model_to_presidio_entity_mapping or {}
            self._labels = {k: v for k, v in mapping.items() if v in self._config.entities}
            self._score = float(ner.default_score or 0.85)
            unused = ["tagger", "parser", "attribute_ruler", "lemmatizer", "senter"]
            self._nlp = spacy.load(self._config.model, exclude=unused)
        return self._nlp
