"""The registry is Presidio's own: a stock AnalyzerEngine over it finds what ours finds."""

import spacy
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import SpacyNlpEngine

from pipeline.redact.config import RedactionConfig
from pipeline.redact.find.registry import build_registry, recognizers

TAGGER = "TaggerRecognizer"


class NoNames(SpacyNlpEngine):
    """Cuts tokens and finds no names."""

    def __init__(self) -> None:
        super().__init__()
        self.nlp = {"en": spacy.blank("en")}


def test_stock_presidio_finds_names_by_the_tagger_of_the_registry() -> None:
    registry = build_registry(RedactionConfig())
    assert [one.name for one in registry.recognizers].count(TAGGER) == 1
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=NoNames())
    text = "Signed, Rosa Delgado, +44 20 7946 0958"
    found = analyzer.analyze(text, "en", entities=["PERSON", "PHONE_NUMBER"])
    by_type = {one.entity_type: (text[one.start : one.end], one.recognition_metadata) for one in found}
    assert by_type["PERSON"][0] == "Rosa Delgado"
    assert by_type["PERSON"][1]["recognizer_name"] == TAGGER
    assert by_type["PHONE_NUMBER"][0] == "+44 20 7946 0958"


def test_the_engine_of_the_patterns_does_not_run_the_tagger_a_second_time() -> None:
    assert TAGGER not in {one.name for one, _ in recognizers(RedactionConfig())}


def test_no_tagger_where_another_finds_names() -> None:
    for names in ("off", "spacy"):
        assert TAGGER not in {one.name for one in build_registry(RedactionConfig(names=names)).recognizers}
