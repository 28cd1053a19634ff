"""The tagger as a Presidio recognizer: it stands in Presidio's registry like any other."""

from collections.abc import Sequence
from typing import Any

from presidio_analyzer import AnalysisExplanation, LocalRecognizer, RecognizerResult

from pipeline.redact.config import RedactionConfig
from pipeline.redact.spans import Span
from pipeline.redact.tagger.tagger import ENTITY_OF, NAME, Tagger


class TaggerRecognizer(LocalRecognizer):
    """Text by text for Presidio, `find` for many texts at once. The model loads at the first use."""

    def __init__(self, config: RedactionConfig) -> None:
        self._config = config
        self._tagger: Tagger | None = None
        super().__init__(supported_entities=sorted(ENTITY_OF.values()), name=NAME)

    def load(self) -> None:
        """Nothing yet: most commands build a registry and read no text."""

    def find(self, texts: Sequence[str]) -> dict[str, list[Span]]:
        """The findings of each text, of the types that the configuration asks for."""
        if self._tagger is None:
            self._tagger = Tagger(self._config)
        return self._tagger.find(texts)

    def analyze(
        self,
        text: str,
        entities: list[str],
        nlp_artifacts: Any = None,  # noqa: ARG002  Presidio's signature: the tagger reads the text itself
    ) -> list[RecognizerResult]:
        """The findings of one text, of the types in `entities`; all types where that is empty."""
        return [
            RecognizerResult(
                span.entity,
                span.start,
                span.end,
                span.score,
                analysis_explanation=AnalysisExplanation(recognizer=NAME, original_score=span.score),
                recognition_metadata={
                    RecognizerResult.RECOGNIZER_NAME_KEY: NAME,
                    RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
                },
            )
            for span in self.find([text])[text]
            if not entities or span.entity in entities
        ]
