"""Who finds names, places and nationalities: the tagger, spaCy's NER pipe, or any Presidio NLP engine.

A finder takes a batch of texts and gives the same for each text whatever else is in the batch.
"""

import importlib.util
import re
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import ConfigError
from pipeline.redact.config import RedactionConfig
from pipeline.redact.memo import Memo
from pipeline.redact.spans import Span, segments

_LONG_WORD = re.compile(r"\S{100,}")
_WORTH = re.compile(r"[^\W\d_]{2}")
_MACHINE = re.compile(r"[a-z0-9_./:@-]*|[A-Z0-9_-]{1,8}|\S*[\d_]\S*")
BATCH = 128
SPACY_EXTRA = 'pip install "auditfuse[spacy]"'

Found = tuple[tuple[int, int, str, float], ...]


class NameFinder(Protocol):
    """Finds names in texts, many at once."""

    def find(self, texts: Sequence[str]) -> dict[str, list[Span]]:
        """The findings of each text. Raises ConfigError where its model is missing."""
        ...


def name_finder(config: RedactionConfig) -> NameFinder | None:
    """The finder that the configuration names; None for `names = "off"`. Models load at the first use.

    Raises ConfigError where `names = "presidio"` has no `nlp_engine`.
    """
    if config.names == "tagger":
        from pipeline.redact.tagger.recognizer import TaggerRecognizer  # Presidio: seconds

        return TaggerRecognizer(config)
    if config.names == "spacy":
        return _SegmentFinder(config, _SpacyNer(config))
    if config.names == "presidio":
        return _SegmentFinder(config, _PresidioNlp(config))
    return None


def worth_reading(text: str) -> bool:
    """Whether a text can hold a name: it has letters and is no single machine word (`one_way`, `HAT123`)."""
    return bool(_WORTH.search(text)) and not _MACHINE.fullmatch(text)


class _Reader(Protocol):
    """A model that reads segments."""

    recognizer: str

    def read(self, segments_: Sequence[str]) -> list[Found]: ...


class _SegmentFinder:
    """Cuts texts, reads each distinct segment once, and remembers what was found in it."""

    def __init__(self, config: RedactionConfig, reader: _Reader) -> None:
        self._reader = reader
        self._memo: Memo[Found] = Memo(config.memo_bytes // 4)

    def find(self, texts: Sequence[str]) -> dict[str, list[Span]]:
        """The findings of each text; texts not worth reading have none."""
        cut = {text: segments(text) for text in texts if worth_reading(text)}
        wanted = dict.fromkeys(s for parts in cut.values() for _, s in parts if worth_reading(s))
        found = self._read(wanted)
        return {
            text: [
                Span(offset + start, offset + end, label, score, self._reader.recognizer)
                for offset, segment in parts
                for start, end, label, score in found.get(segment, ())
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
            for segment, entities in zip(unread, self._reader.read(unread), strict=True):
                known[segment] = entities
                self._memo.put(segment, entities, len(segment) * 2)
        return known


class _SpacyNer:
    """A spaCy model's NER pipe alone, with Presidio's mapping and score."""

    recognizer = "SpacyRecognizer"

    def __init__(self, config: RedactionConfig) -> None:
        self._config = config
        self._nlp: Any = None
        self._labels: dict[str, str] = {}
        self._score = 0.0

    def read(self, segments_: Sequence[str]) -> list[Found]:
        nlp = self._loaded()
        # Long "words" are blobs: masked, since the tokenizer's time grows with their square.
        masked = (_LONG_WORD.sub(lambda m: "X" * len(m[0]), s) for s in segments_)
        with nlp.memory_zone():  # without it the vocabulary grows with every new word, for days
            return [self._wanted(doc) for doc in nlp.pipe(masked, batch_size=BATCH)]

    def _wanted(self, doc: Any) -> Found:
        return tuple(
            (e.start_char, e.end_char, self._labels[e.label_], self._score)
            for e in doc.ents
            if e.label_ in self._labels
        )

    def _loaded(self) -> Any:
        if self._nlp is None:
            model = self._config.model
            if importlib.util.find_spec(model) is None and not Path(model).exists():
                raise ConfigError(f"redaction.model: the spaCy model {model} is not installed: {SPACY_EXTRA}")
            import spacy
            from presidio_analyzer.nlp_engine import NerModelConfiguration

            ner = NerModelConfiguration()
            mapping = ner.model_to_presidio_entity_mapping or {}
            self._labels = {k: v for k, v in mapping.items() if v in self._config.entities}
            self._score = float(ner.default_score or 0.85)
            unused = ["tagger", "parser", "attribute_ruler", "lemmatizer", "senter"]
            self._nlp = spacy.load(model, exclude=unused)
        return self._nlp


class _PresidioNlp:
    """Any NLP engine of Presidio, by its configuration file: spaCy, Stanza, transformers."""

    recognizer = "PresidioNlp"

    def __init__(self, config: RedactionConfig) -> None:
        if config.nlp_engine is None:
            raise ConfigError(
                'redaction.names = "presidio" needs redaction.nlp_engine, '
                "the path of Presidio's NLP configuration file"
            )
        self._path = config.nlp_engine
        self._entities = frozenset(config.entities)
        self._threshold = config.threshold
        self._engine: Any = None

    def read(self, segments_: Sequence[str]) -> list[Found]:
        engine = self._loaded()
        language = engine.get_supported_languages()[0]
        nlp = engine.nlp[language]
        with nlp.memory_zone() if hasattr(nlp, "memory_zone") else nullcontext():
            read = engine.process_batch(list(segments_), language=language)
            return [self._wanted(artifacts) for _, artifacts in read]

    def _wanted(self, artifacts: Any) -> Found:
        return tuple(
            (e.start_char, e.end_char, e.label_, float(score))
            for e, score in zip(artifacts.entities, artifacts.scores, strict=True)
            if e.label_ in self._entities and score >= self._threshold
        )

    def _loaded(self) -> Any:
        if self._engine is None:
            from presidio_analyzer.nlp_engine import NlpEngineProvider

            if not self._path.is_file():
                raise ConfigError(f"redaction.nlp_engine: {self._path} is no file; correct the path")
            try:
                provider = NlpEngineProvider(conf_file=self._path)
                _installed(provider.nlp_configuration)
                self._engine = provider.create_engine()
            except (Exception, SystemExit) as error:  # whatever an engine of any kind raises
                raise ConfigError(
                    f"redaction.nlp_engine: {self._path} makes no NLP engine: {type(error).__name__}: {error}"
                ) from error
        return self._engine


def _installed(configuration: Any) -> None:
    """Raises FileNotFoundError for a spaCy model that is not there: Presidio would download it."""
    if configuration["nlp_engine_name"] == "spacy":
        for model in configuration["models"]:
            name = model["model_name"]
            if importlib.util.find_spec(name) is None and not Path(name).exists():
                raise FileNotFoundError(f"the spaCy model {name} is not installed")
