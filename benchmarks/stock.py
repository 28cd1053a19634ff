"""Stock Presidio as most teams run it: AnalyzerEngine, all its recognizers, spaCy's small model."""

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.redact.config import RedactionConfig

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, RecognizerResult

THRESHOLD = 0.35


@functools.cache
def engine() -> "AnalyzerEngine":
    """Loaded, and run once."""
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    model = {"lang_code": "en", "model_name": RedactionConfig().model}
    nlp = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": [model]})
    analyzer = AnalyzerEngine(nlp_engine=nlp.create_engine())
    analyzer.analyze("Jane Roe, jane@example.org, +1 415 555 0132", "en")
    return analyzer


def our_entities() -> tuple[str, ...]:
    """The types that auditfuse asks its stock recognizers for, by default."""
    return RedactionConfig().entities


def analyze(text: str, entities: Iterable[str] | None = None) -> "list[RecognizerResult]":
    """What stock finds at the threshold; without `entities`, of all its types."""
    asked = None if entities is None else list(entities)
    return engine().analyze(text, "en", entities=asked, score_threshold=THRESHOLD)
