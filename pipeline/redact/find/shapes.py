"""Our shapes as Presidio recognizers: registered like anyone's."""

from collections.abc import Sequence
from typing import Any

from presidio_analyzer import LocalRecognizer, RecognizerResult

from pipeline.redact.types.shape import Shape

SHAPE_SCORE = 1.0


class ShapeRecognizer(LocalRecognizer):
    """Finds one of our patterns; the group `v`, where there is one, is the finding."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        super().__init__(supported_entities=[shape.entity], name=f"auditfuse {shape.entity}")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(
        self,
        text: str,
        entities: Sequence[str],  # noqa: ARG002  Presidio's signature
        nlp_artifacts: Any = None,  # noqa: ARG002
    ) -> list[RecognizerResult]:
        """Every accepted match in `text`."""
        results: list[RecognizerResult] = []
        group = "v" if "v" in self.shape.pattern.groupindex else 0
        for match in self.shape.pattern.finditer(text):
            if self.shape.accept is None or self.shape.accept(match[group]):
                start, end = match.span(group)
                results.append(RecognizerResult(self.shape.entity, start, end, SHAPE_SCORE))
        return results
