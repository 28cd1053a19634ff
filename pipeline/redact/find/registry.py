"""Our recognizers, as Presidio recognizers: registered like anyone's, gated and run like stock ones."""

import copy
import logging
import re
from typing import Any, cast

import tldextract
from presidio_analyzer import EntityRecognizer, RecognizerRegistry, RecognizerResult
from presidio_analyzer.predefined_recognizers import EmailRecognizer, PhoneRecognizer

from pipeline.redact.config import RedactionConfig
from pipeline.redact.find.shapes import ShapeRecognizer
from pipeline.redact.types import personal, secrets

_PRIVATE_SUFFIX = re.compile(
    r"\.(?:internal|local|lan|corp|home|intranet|test|example|invalid|localhost)$", re.I
)
_SUFFIXES = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())
"""The public suffix list that ships with tldextract: the stock one fetches it from the network."""


class OfflineEmailRecognizer(EmailRecognizer):
    """The stock recognizer without its network call, and with the suffixes of private networks."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: Any = None, regex_flags: int | None = None
    ) -> list[RecognizerResult]:
        """Stock findings; of one that begins within a URL (addresses may hold `/?=&`) its tail as well."""
        results = super().analyze(text, entities, nlp_artifacts, regex_flags or 0)
        tails: list[RecognizerResult] = []
        for result in results:
            local = text[result.start : text.rindex("@", result.start, result.end)]
            cut = max(map(local.rfind, "/?=&")) + 1
            if 0 < cut < len(local):
                tail = copy.copy(result)
                tail.start = result.start + cut
                tails.append(tail)
        return results + tails

    def validate_result(self, pattern_text: str) -> bool:
        """Whether the domain ends in a public suffix or one that only private networks use."""
        if _PRIVATE_SUFFIX.search(pattern_text):
            return True
        return _SUFFIXES(pattern_text).fqdn != ""


def build_registry(config: RedactionConfig) -> RecognizerRegistry:
    """Presidio's registry: stock recognizers for English and ours."""
    # Presidio logs the text that it fails on ("Failed to validate text …"): no log of ours may hold any.
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    registry.remove_recognizer("EmailRecognizer")
    registry.remove_recognizer("PhoneRecognizer")
    registry.add_recognizer(OfflineEmailRecognizer())
    registry.add_recognizer(PhoneRecognizer(supported_regions=config.phone_regions))
    for shape in (*secrets.PATTERNS, *personal.PATTERNS):
        registry.add_recognizer(ShapeRecognizer(shape))
    return registry


def active(registry: RecognizerRegistry, config: RedactionConfig) -> list[EntityRecognizer]:
    """The recognizers that can find something asked for; NER has its own way (`names.py`)."""
    wanted = set(config.entities) | {s.entity for s in (*secrets.PATTERNS, *personal.PATTERNS)}
    known = cast("list[EntityRecognizer]", registry.recognizers)
    return [
        recognizer
        for recognizer in known
        if wanted & set(recognizer.supported_entities) and recognizer.name != "SpacyRecognizer"
    ]
