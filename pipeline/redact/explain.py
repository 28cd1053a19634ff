"""Why something was found: looked up again for a person who asks, so that the fast path remembers less."""

import json
from collections.abc import Iterator
from typing import Any, cast

from presidio_analyzer import RecognizerResult

from pipeline.redact.config import RedactionConfig
from pipeline.redact.find.context import ContextWords
from pipeline.redact.find.registry import build_registry
from pipeline.redact.leaf import Hit
from pipeline.redact.policy import DENY_LIST

FIELD = "field"


class Explainer:
    """Says of findings which pattern, check or word made them. Never with the value."""

    def __init__(self, config: RedactionConfig) -> None:
        known = cast("list[Any]", build_registry(config).recognizers)
        self._recognizers = {recognizer.name: recognizer for recognizer in known}

    def why(self, hit: Hit, line: str) -> str:
        """The reason for a finding in a line that was redacted."""
        if hit.recognizer == FIELD:
            return "its field or key says so"
        if hit.recognizer == DENY_LIST:
            return "it is on a deny list"
        if hit.entity.startswith("!"):
            return f"it could not be redacted in its budget: {hit.entity[1:]}"
        if hit.is_name:
            return "the name finder"
        recognizer = self._recognizers.get(hit.recognizer)
        if recognizer is None:
            return "a recognizer"
        return "; ".join(self._reasons(recognizer, hit, line)) or "its own rules"

    def _reasons(self, recognizer: Any, hit: Hit, line: str) -> Iterator[str]:
        found = cast("list[RecognizerResult]", recognizer.analyze(hit.value, [hit.entity], None) or [])
        best = max(found, key=lambda r: (r.end - r.start, r.score), default=None)
        told = cast("Any", best.analysis_explanation) if best is not None else None
        if told is not None and told.pattern_name:
            yield f'pattern "{told.pattern_name}"'
        elif getattr(recognizer, "shape", None) is not None:
            yield "its shape"
        if told is not None and told.validation_result:
            yield "validated"
        if best is not None and hit.score > best.score:
            words = _context_words(recognizer.context or [], hit, line)
            yield f"context {', '.join(words)}" if words else "context"


def _context_words(words: list[str], hit: Hit, line: str) -> list[str]:
    text = next((t for t in _leaves(line) if t[hit.start : hit.end] == hit.value), line)
    return sorted({repr(w) for w in words if ContextWords([w]).supports(text, hit.start)})


def _leaves(line: str) -> Iterator[str]:
    """The line, and the strings in it if it is JSON: where a finding's place counts from."""
    yield line
    try:
        stack: list[Any] = [json.loads(line)]
    except (ValueError, RecursionError):
        return
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            inner = cast("dict[str, Any]", value)
            stack += [*inner.keys(), *inner.values()]
        elif isinstance(value, list):
            stack += cast("list[Any]", value)
