"""The analysis of one text by every recognizer of the registry but names: Presidio's results, faster.

One scan says which patterns may match (`gate.py`); those look for their spans, stock validators and
context rules decide.
"""

from pipeline.redact.config import RedactionConfig
from pipeline.redact.find.context import boosted
from pipeline.redact.find.finders import Finder, finders_of
from pipeline.redact.find.gate import Gate
from pipeline.redact.find.registry import recognizers
from pipeline.redact.spans import Span


class Engine:
    """Built once a process (two to three seconds, most of it imports). Thread-safe."""

    def __init__(self, config: RedactionConfig) -> None:
        self._threshold = config.threshold
        finders = [
            finder
            for recognizer, entities in recognizers(config)
            for finder in finders_of(recognizer, entities, config.threshold)
        ]
        forms: dict[str, int] = {}
        self._by_form: dict[int, list[Finder]] = {}
        always = [f for f in finders if f.form is None]
        for finder in finders:
            if finder.form is not None:
                self._by_form.setdefault(_numbered(forms, finder.form), []).append(finder)
        self._triggers = {
            trigger: _numbered(forms, trigger) for f in finders for trigger in sorted(f.needs or ())
        }
        self._gate = Gate({number: form for form, number in forms.items()})
        always += [f for number in self._gate.always for f in self._by_form.get(number, ())]
        self._always = tuple(always)
        self._needs = {
            id(f): frozenset(map(self._triggers.__getitem__, f.needs)) for f in finders if f.needs is not None
        }

    def analyze(self, text: str, entities: frozenset[str] | None = None) -> list[Span]:
        """Every finding at or above the threshold, overlaps included, in no particular order; of these
        entities alone, where they are given.

        A finding whose entity begins with `!` is a part that could not be examined. Raises what a
        recognizer raises, and TimeoutError where one ran out of time.
        """
        opened = self._gate.open(text)
        if not opened and not self._always:
            return []
        spans: list[Span] = []
        for finder in self._looking(opened):
            if entities is not None and not finder.may_find(entities):
                continue
            spans += [s for s in self._scored(finder, text) if s.score >= self._threshold]
        return spans if entities is None else [s for s in spans if s.entity in entities]

    def _looking(self, opened: set[int]) -> list[Finder]:
        """The finders that may find something that counts."""
        looking = list(self._always)
        for number in sorted(opened & self._by_form.keys()):
            looking += self._by_form[number]
        opened |= self._gate.always
        return [f for f in looking if f.needs is None or not self._needs[id(f)].isdisjoint(opened)]

    def _scored(self, finder: Finder, text: str) -> list[Span]:
        words = finder.context
        spans = finder.look(text)
        if words is None:
            return spans
        return [s._replace(score=boosted(s.score)) if words.supports(text, s.start) else s for s in spans]


def _numbered(forms: dict[str, int], form: str) -> int:
    return forms.setdefault(form, len(forms))
