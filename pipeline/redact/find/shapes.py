"""Our shapes as Presidio recognizers: registered like anyone's."""

from collections.abc import Iterator, Sequence
from typing import Any

from presidio_analyzer import LocalRecognizer, RecognizerResult

from pipeline.redact.types.shape import Shape


class ShapeRecognizer(LocalRecognizer):
    """Finds one of our patterns; the group `v`, where there is one, is the finding."""

    SCORE = 1.0

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._group = "v" if "v" in shape.pattern.groupindex else 0
        super().__init__(supported_entities=[shape.entity], name=f"auditfuse {shape.entity}")

    def load(self) -> None:
        """Nothing to load."""

    def places(self, text: str) -> Iterator[tuple[int, int]]:
        """The range of every accepted match in `text`."""
        accept = self.shape.accept
        for match in self.shape.pattern.finditer(text):
            if accept is None or accept(match[self._group]):
                yield match.span(self._group)

    def analyze(
        self,
        text: str,
        entities: Sequence[str],  # noqa: ARG002  Presidio's signature
        nlp_artifacts: Any = None,  # noqa: ARG002
    ) -> list[RecognizerResult]:
        """Every accepted match in `text`."""
        return [RecognizerResult(self.shape.entity, *place, self.SCORE) for place in self.places(text)]
