"""Recognizers as a user would write them, named by configuration in the tests."""

from typing import Any

from presidio_analyzer import EntityRecognizer, Pattern, PatternRecognizer, RecognizerResult


class Shouted(EntityRecognizer):
    """No pattern: whole words in capitals after an exclamation mark."""

    def __init__(self) -> None:
        super().__init__(supported_entities=["SHOUTED", "PERSON"], name="Shouted")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """One finding a word."""
        assert entities == ["SHOUTED", "PERSON"]
        at = text.find("!HELP")
        return [RecognizerResult("SHOUTED", at + 1, at + 5, 0.9)] if at >= 0 else []


class Slow(PatternRecognizer):
    """A pattern whose time grows exponentially, in a syntax that no other library takes."""

    def __init__(self) -> None:
        super().__init__("SLOW", patterns=[Pattern("slow", r"(x|xx)+\p{N}", 0.9)])


class SwallowsTimeouts(PatternRecognizer):
    """Stock's own way of running patterns, by an `analyze` of its own: a pattern out of time is skipped."""

    def __init__(self) -> None:
        super().__init__("SLOW", patterns=[Pattern("slow", r"(x|xx)+\p{N}", 0.9)])

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: Any = None, regex_flags: int | None = None
    ) -> list[RecognizerResult]:
        """As it is."""
        return super().analyze(text, entities, nlp_artifacts, regex_flags or 0)


class NotOne:
    """No recognizer."""
