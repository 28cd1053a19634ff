"""Presidio's registry as it is here: stock recognizers, the tagger of names, the user's and ours."""

import copy
import importlib
import re
from collections.abc import Iterable
from typing import Any, cast

import tldextract
import yaml
from presidio_analyzer import EntityRecognizer, RecognizerRegistry, RecognizerResult
from presidio_analyzer.predefined_recognizers import EmailRecognizer, PhoneRecognizer, SpacyRecognizer
from presidio_analyzer.recognizer_registry.recognizers_loader_utils import RecognizerListLoader

from pipeline.errors import ConfigError
from pipeline.redact.config import RedactionConfig
from pipeline.redact.find.shapes import ShapeRecognizer
from pipeline.redact.tagger.recognizer import TaggerRecognizer
from pipeline.redact.types import personal, secrets

SHAPES = (*secrets.PATTERNS, *personal.PATTERNS)
LANGUAGE = "en"
_OF_NAMES = (SpacyRecognizer, TaggerRecognizer)
_FLAGS = int(re.DOTALL | re.MULTILINE | re.IGNORECASE)
"""Presidio's default; `re` and `regex` number these alike."""
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
        """Stock findings, and their tails."""
        results = super().analyze(text, entities, nlp_artifacts, regex_flags or 0)
        tails: list[RecognizerResult] = []
        for result in results:
            for start, end in self.tails(text, result.start, result.end):
                tails.append(copy.copy(result))
                tails[-1].start, tails[-1].end = start, end
        return results + tails

    def tails(self, text: str, start: int, end: int) -> list[tuple[int, int]]:
        """Of an address that begins within a URL (addresses may hold `/?=&`) the address proper."""
        local = text[start : text.rindex("@", start, end)]
        cut = max(map(local.rfind, "/?=&")) + 1
        return [(start + cut, end)] if 0 < cut < len(local) else []

    def validate_result(self, pattern_text: str) -> bool:
        """Whether the domain ends in a public suffix or one that only private networks use."""
        if _PRIVATE_SUFFIX.search(pattern_text):
            return True
        return _SUFFIXES(pattern_text).fqdn != ""


def build_registry(config: RedactionConfig) -> RecognizerRegistry:
    """The registry of one configuration. Raises ConfigError for what of the user's cannot be loaded."""
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=[LANGUAGE])
    registry.remove_recognizer("EmailRecognizer")
    registry.remove_recognizer("PhoneRecognizer")
    registry.add_recognizer(OfflineEmailRecognizer())
    registry.add_recognizer(PhoneRecognizer(supported_regions=config.phone_regions))
    if config.names == "tagger":
        registry.add_recognizer(TaggerRecognizer(config))
    for recognizer in (*map(ShapeRecognizer, SHAPES), *_from_file(config), *_by_class(config)):
        registry.add_recognizer(recognizer)
    return registry


def recognizers(config: RedactionConfig) -> list[tuple[EntityRecognizer, list[str]]]:
    """The recognizers that can find something asked for, each with the entities that it is asked for.

    Stock ones are asked for the configured entities, ours and the user's for all that they support.
    Those of names have their own way, many texts at once (`names.py`).
    """
    wanted = set(config.entities)
    found: list[tuple[EntityRecognizer, list[str]]] = []
    added = False
    for recognizer in cast("list[EntityRecognizer]", build_registry(config).recognizers):
        added = added or isinstance(recognizer, ShapeRecognizer)  # the first of those added to the stock ones
        asked = [e for e in recognizer.supported_entities if added or e in wanted]
        if asked and type(recognizer) not in _OF_NAMES:
            found.append((recognizer, asked))
    return found


def _from_file(config: RedactionConfig) -> Iterable[EntityRecognizer]:
    """The recognizers of the user's file, in either of Presidio's two formats."""
    path = config.recognizers_file
    if path is None:
        return []
    try:
        content = yaml.safe_load(path.read_text())
        return RecognizerListLoader.get(
            recognizers=content["recognizers"],
            supported_languages=content.get("supported_languages") or [LANGUAGE],
            global_regex_flags=content.get("global_regex_flags", _FLAGS),
        )
    except OSError as error:
        raise ConfigError(f"redaction.recognizers_file {path}: {error.strerror}; correct the path") from None
    except Exception as error:  # whatever Presidio or a recognizer's constructor raises
        raise ConfigError(
            f"redaction.recognizers_file {path} is no file of Presidio recognizers: "
            f"{type(error).__name__}: {error}; it needs a list `recognizers`, each with a name, "
            "supported_entity and patterns or deny_list"
        ) from error


def _by_class(config: RedactionConfig) -> Iterable[EntityRecognizer]:
    """The user's Python recognizers, `package.module:ClassName` each."""
    for name in config.recognizers:
        module, _, attribute = name.partition(":")
        try:
            made: object = getattr(importlib.import_module(module), attribute)()
        except Exception as error:
            raise ConfigError(
                f"redaction.recognizers: {name} cannot be made: {type(error).__name__}: {error}; "
                "name an importable class as package.module:ClassName that needs no arguments"
            ) from error
        if not isinstance(made, EntityRecognizer):
            raise ConfigError(
                f"redaction.recognizers: {name} is no recognizer; "
                "derive it from presidio_analyzer.EntityRecognizer"
            )
        yield made
