"""Cheap tests that say when a recognizer cannot find anything. They never say so wrongly.

A gate for a stock recognizer rests on its stock patterns: one whose patterns were changed is always run.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, cast

from presidio_analyzer import EntityRecognizer, PatternRecognizer
from presidio_analyzer import predefined_recognizers as stock

from pipeline.redact.find import context
from pipeline.redact.find.registry import OfflineEmailRecognizer
from pipeline.redact.find.shapes import ShapeRecognizer
from pipeline.redact.ids import ISO_TIME

_DIGIT = re.compile(r"\d")
_ISO = re.compile(rf"(?<![\w-]){ISO_TIME}(?![\w-])")


class Features(NamedTuple):
    """What the gates look at."""

    text: str
    lowered: str
    digits: int

    @classmethod
    def of(cls, text: str) -> "Features":
        return cls(text, text.lower(), len(_DIGIT.findall(text)))


Gate = Callable[[Features], bool]

_STOCK_GATES: dict[str, Gate] = {
    "CreditCardRecognizer": lambda f: f.digits >= 13,
    "UsBankRecognizer": lambda f: f.digits >= 8,
    "UsLicenseRecognizer": lambda f: f.digits >= 1,
    "UsItinRecognizer": lambda f: f.digits >= 9,
    "UsPassportRecognizer": lambda f: f.digits >= 8,
    "UsSsnRecognizer": lambda f: f.digits >= 9,
    "NhsRecognizer": lambda f: f.digits >= 10,
    "MedicalLicenseRecognizer": lambda f: f.digits >= 7,
    "CryptoRecognizer": lambda f: len(f.text) >= 26,
    "IbanRecognizer": lambda f: f.digits >= 2 and len(f.text) >= 12,
    "IpRecognizer": lambda f: f.text.count(".") >= 3 or "::" in f.text or f.text.count(":") >= 7,
    "MacAddressRecognizer": lambda f: _count_any(f.text, ":-", 5) or f.text.count(".") >= 2,
}


def gate_of(recognizer: EntityRecognizer, threshold: float) -> Gate:
    """The gate of one recognizer at one threshold."""
    if isinstance(recognizer, ShapeRecognizer):
        return _shape_gate(recognizer)
    if type(recognizer) is OfflineEmailRecognizer:
        return lambda f: "@" in f.text
    if type(recognizer) is stock.PhoneRecognizer:
        return _phone_gate(tuple(cast("Iterable[str]", recognizer.supported_regions)))
    name = type(recognizer).__name__
    gate = _STOCK_GATES.get(name)
    if gate is None or not _is_stock(recognizer):
        return _always
    if _needs_context(recognizer, threshold):
        return lambda f: gate(f) and context.mentions(f.lowered, recognizer.context or ())
    return gate


def _always(_: Features) -> bool:
    return True


def _shape_gate(recognizer: ShapeRecognizer) -> Gate:
    literals = recognizer.shape.literals
    if literals:
        return lambda f: any(literal in f.lowered for literal in literals)
    if recognizer.shape.entity == "STREET_ADDRESS":
        return lambda f: f.digits >= 1
    return lambda f: len(f.text) >= 40


def _phone_gate(regions: tuple[str, ...]) -> Gate:
    """A phone number has at least the digits of the shortest of any region, with few signs between them.

    phonenumbers itself allows four signs between groups of digits, and `x`.
    """
    from phonenumbers import PhoneMetadata

    known = (PhoneMetadata.metadata_for_region(region, None) for region in regions)
    described = (m.general_desc for m in known if m and m.general_desc)
    shortest = min((min(d.possible_length) for d in described), default=1)
    candidate = re.compile(rf"\d(?:[\WxX]{{0,8}}\d){{{shortest - 1},}}")

    def gate(features: Features) -> bool:
        if features.digits < shortest or not candidate.search(features.text):
            return False
        # Times survive whatever phone they look like: where nothing else is left, nothing is to be found.
        return bool(candidate.search(_ISO.sub("|", features.text)))

    return gate


def _is_stock(recognizer: EntityRecognizer) -> bool:
    if not isinstance(recognizer, PatternRecognizer) or recognizer.deny_list:
        return False
    ours = [p.regex for p in recognizer.patterns]
    return type(recognizer).__module__.startswith(stock.__name__) and ours == [
        p.regex for p in getattr(type(recognizer), "PATTERNS", ())
    ]


def _needs_context(recognizer: EntityRecognizer, threshold: float) -> bool:
    """Whether no pattern reaches the threshold by itself, and no validator can raise it."""
    return (
        isinstance(recognizer, PatternRecognizer)
        and type(recognizer).validate_result is PatternRecognizer.validate_result
        and bool(recognizer.context)
        and max(p.score for p in recognizer.patterns) < threshold
    )


def _count_any(text: str, characters: str, least: int) -> bool:
    return any(text.count(c) >= least for c in characters)
