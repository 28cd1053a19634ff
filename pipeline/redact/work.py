"""The leaves not met before, worked out in one batch: views, names, then each leaf alone."""

import re
from collections.abc import Mapping, Sequence

from pipeline.redact.budget import Budget, Limit
from pipeline.redact.config import RedactionConfig
from pipeline.redact.find.names import NameFinder, name_finder
from pipeline.redact.ids import IdRules
from pipeline.redact.leaf import LeafRedactor, Redacted, mask_tokens
from pipeline.redact.policy import Policies
from pipeline.redact.pseudonym import Pseudonyms, failure
from pipeline.redact.spans import Span
from pipeline.redact.tree import Leaf
from pipeline.redact.views import TooDeepError, View, views

_SPACE = re.compile(r"\s")
_IDS = ("id", "trace_id", "span_id")
_READ = ("text", "label", "end_user")


class LeafWork:
    """One a process. The analyzers load at the first use (about three seconds)."""

    def __init__(
        self, config: RedactionConfig, pseudonyms: Pseudonyms, policies: Policies, budget: Budget
    ) -> None:
        self._config = config
        self._pseudonyms = pseudonyms
        self._policies = policies
        self._budget = budget
        self._ids = IdRules(config.id_prefixes)
        self._names: NameFinder | None = None
        self._leaves: LeafRedactor | None = None

    def resolve(self, leaves: Sequence[Leaf]) -> None:
        """Say of each leaf what becomes of it. Never raises for what a leaf holds."""
        seen: list[tuple[Leaf, list[View]]] = []
        for leaf in leaves:
            limit = self._budget.of_value(leaf.text) if leaf.field_class in _READ else None
            if limit is not None:
                leaf.resolve(self._cut(leaf, limit))
            elif leaf.field_class in _IDS:
                seen.append((leaf, []))
            else:
                try:
                    seen.append((leaf, views(leaf.text, self._config.max_nesting)))
                except TooDeepError:
                    leaf.resolve(_failed("nested_too_deep", leaf.text))
        names = self._find_names(seen)
        for leaf, all_views in seen:
            leaf.resolve(self._one(leaf, leaf.text, all_views, names))

    def _cut(self, leaf: Leaf, limit: Limit) -> Redacted:
        """A leaf over its budget."""
        if leaf.field_class == "end_user":
            limit = limit._replace(chars=0)  # never given out in part
        return self._budget.cut(leaf.text, limit, lambda text: self._alone(leaf, text))

    def _alone(self, leaf: Leaf, text: str) -> Redacted:
        """A part of a leaf's text, redacted as the leaf would be."""
        if not text:
            return Redacted("", {})
        try:
            all_views = views(text, self._config.max_nesting)
        except TooDeepError:
            return _failed("nested_too_deep", text)
        return self._one(leaf, text, all_views, self._find_names([(leaf, all_views)]))

    def _find_names(self, seen: Sequence[tuple[Leaf, list[View]]]) -> dict[str, list[Span]]:
        finder = self._name_finder()
        if finder is None:
            return {}
        texts = {
            mask_tokens(view.text)
            for leaf, all_views in seen
            for view in all_views
            if leaf.field_class != "label" or _SPACE.search(view.text)
        }
        try:
            return finder.find(sorted(texts))
        except Exception:  # noqa: BLE001  one text's fault must not touch the others' results
            return {text: self._names_alone(finder, text) for text in texts}

    def _name_finder(self) -> NameFinder | None:
        if self._names is None and self._config.names != "off":
            self._names = name_finder(self._config)  # Presidio: seconds
        return self._names

    def _names_alone(self, finder: NameFinder, text: str) -> list[Span]:
        try:
            return finder.find([text]).get(text, [])
        except Exception:  # noqa: BLE001  fail closed
            return [Span(0, len(text), "!recognizer_error", 1.0, "names")]

    def _one(self, leaf: Leaf, text: str, all_views: list[View], names: Mapping[str, list[Span]]) -> Redacted:
        redactor = self._leaf_redactor()
        try:
            if leaf.field_class in _IDS:
                return redactor.identifier(leaf.field_class, text)
            if leaf.field_class == "end_user":
                return redactor.end_user(text, all_views, lambda t: names.get(t, ()), leaf.policy)
            return redactor.redact(
                text, leaf.key, all_views, lambda t: names.get(t, ()), leaf.policy, leaf.parent
            )
        except Exception:  # noqa: BLE001  a recognizer's fault must not let the value through, nor stop the worker
            return _failed("recognizer_error", text)

    def _leaf_redactor(self) -> LeafRedactor:
        if self._leaves is None:
            from pipeline.redact.find.engine import Engine  # Presidio: seconds

            self._leaves = LeafRedactor(Engine(self._config), self._ids, self._pseudonyms, self._policies)
        return self._leaves


def _failed(reason: str, text: str) -> Redacted:
    return Redacted(failure(reason, len(text)), {"REDACTION_FAILED": 1}, failed=True)
