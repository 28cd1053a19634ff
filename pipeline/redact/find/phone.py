"""Phone numbers: Presidio's PhoneRecognizer, in which each region parses each run of digits, in Python.

One walk finds the runs; those that no region could take for a number are rejected by the regions' own
patterns; what is left goes to the stock matcher of each region that is left, and its answer is remembered.
Only the reject is ours, and it only ever keeps too much.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import phonenumbers
import re2
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata
from phonenumbers.phonenumberutil import (
    _choose_formatting_pattern_for_number,  # pyright: ignore[reportPrivateUsage]
    _formatting_rule_has_first_group_only,  # pyright: ignore[reportPrivateUsage]
)

GAPS = (
    "-x\u2010-\u2015\u2212\u30fc\uff0d-\uff0f \u00a0\u00ad\u200b\u2060\u3000()\uff08\uff09\uff3b\uff3d"
    ".\\[\\]/~\u2053\u223c\uff5e"
)
"""The signs that may stand between groups of digits, up to four at a time (phonenumbers' own set)."""
GAP_SIGNS = (
    " -./()[]~xX\u00a0\u00ad\u200b\u2010\u2011\u2012\u2013\u2014\u2015\u2053\u2060\u2212\u223c\u3000\u30fc"
    "\uff08\uff09\uff0d\uff0e\uff0f\uff3b\uff3d\uff5e"
)
"""The same, each by itself, as a pattern that ignores case takes them."""
LEAST_DIGITS = 4
"""No number of any region has fewer."""
MOST_GROUPS = 20
LONGEST_RUN = 240
"""Longer runs go to the matchers as they are."""
LONGEST_NUMBER = 25
"""Digits of an international prefix, a country code and a national number."""
LEAD_CHARS = 10
MEMO = 1 << 14
LONGEST_REMEMBERED = 400
NOTHING = r"x\b\Bx"
PLUS = "+＋"
_LEADS = GAP_SIGNS + PLUS
FORM = rf"\d(?:[{GAPS}]{{0,4}}\d){{{LEAST_DIGITS - 1},}}"
_RUN = re.compile(FORM, re.I)
_DIGIT, _DIGITS = re.compile(r"\d"), re.compile(r"\d+")
_LABEL = "(?:;ext=|e?xt(?:ensi(?:o\u0301?|ó))?n?|ｅ?ｘｔｎ?|доб|anexo|int|ｉｎｔ|[xｘ#＃~～])[:.．]?"
_SPACING = "[ \xa0\\t,-]*"
_LINKED = re.compile(rf"(?:\d(?:[{GAPS}]{{0,4}}|{_SPACING}{_LABEL}{_SPACING}|[- ]+))+\Z", re.I)
"""Digits that a run may be the extension of: a walk that begins at the run sees it otherwise."""
LINK_SIGNS = GAP_SIGNS + (
    "\t,;=:#AEINOSTaeinost\u00d3\u00f3\u0130\u0131\u017f\u0301\u0411\u0414\u041e\u0431\u0434\u043e"
    "\u1c81\u1c82\uff03\uff25\uff29\uff2e\uff34\uff38\uff45\uff49\uff4e\uff54\uff58"
)
"""All that may stand between such digits and the run."""
LONGEST_LINK = 240
_SPLIT_EXTENSION = re.compile(rf"\d{_SPACING}{_LABEL}{_SPACING}\d{{10,}}", re.I)
"""An extension takes nine digits, and what follows them is looked at alone."""
_LABEL_SIGNS = frozenset("xX~\uff5e")
"""Of the signs of a run those that are a label."""
_LETTERS_BEFORE = frozenset("abcdefghijklmpqrsuvwyzABCDEFGHIJKLMPQRSUVWYZ")
"""Letters that end no label of an extension (ext, extn, int, anexo, x)."""
_LETTERS_AFTER = frozenset("bcdfghjklmnopqrstuvwyzBCDFGHJKLMNOPQRSTUVWYZ")
"""Letters that begin none."""
_LETTER = re.compile(r"[^\W\d_]")
_UNSURE = re.compile(rf"[{PLUS};#＃~～∼⁓]|[^\W\d_]")
"""Signs of an international number, an extension or letters that stand for digits."""
_TAIL = re.compile("[ \xa0\\t,-]*.{0,20}[ \xa0\\t,-]*.{0,25}", re.S)
"""Room for an extension."""
_DESCRIPTIONS = (
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number"),
    *("voip", "pager", "uan", "voicemail"),
)


class PhoneWalk:
    """The walk of one set of regions at one leniency."""

    def __init__(self, regions: tuple[str, ...], leniency: int) -> None:
        self._regions = tuple(dict.fromkeys(regions))
        self._leniency = leniency
        self._known = [_Region.of(region) for region in self._regions]
        self._any = _compiled("|".join(f"{r.bare}|{r.prefixed}|{r.transformed}" for r in self._known))
        self._of_digits = functools.lru_cache(MEMO)(self._regions_of_digits)
        self._of_run = functools.lru_cache(MEMO)(self._regions_of_run)
        self._remembered = functools.lru_cache(MEMO)(self._stock)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Every range that the stock recognizer finds, each once or more often."""
        for run in _RUN.finditer(text):
            if _in_word(text, run.start(), run.end()):
                continue
            linked = _linked(text, run.start())
            first = linked.start() if linked else run.start()
            lead = text[max(0, first - LEAD_CHARS) : first]
            start = first - len(lead) + len(lead.rstrip(_LEADS))
            regions = self._regions
            splits = linked or not _LABEL_SIGNS.isdisjoint(run[0])
            if not (splits and _SPLIT_EXTENSION.search(text, start, run.end())):
                regions = self._regions_for(text[start if first == run.start() else run.start() : run.end()])
                if not regions:
                    continue
                if linked:
                    regions = self._regions  # what it is linked to may be any region's
            origin = start - min(1, start)
            tail = cast("re.Match[str]", _TAIL.match(text, run.end()))
            window = text[origin : tail.end()]
            stock = self._remembered if len(window) <= LONGEST_REMEMBERED else self._stock
            for low, high in stock(window, run.start() - origin, run.end() - origin, regions):
                yield origin + low, origin + high

    def _regions_for(self, run: str) -> tuple[str, ...]:
        """The regions that could take a part of a run for a number."""
        if self._leniency < phonenumbers.Leniency.VALID or len(run) > LONGEST_RUN:
            return self._regions
        return self._of_run(run)

    def _regions_of_run(self, run: str) -> tuple[str, ...]:
        groups = _DIGITS.findall(run)
        if any(map(run.__contains__, PLUS)) or len(_LETTER.findall(run)) > 2 or len(groups) > MOST_GROUPS:
            return self._regions
        left = {region for digits in _in_a_row(groups) for region in self._of_digits(digits)}
        return tuple(region for region in self._regions if region in left)

    def regions_of_candidate(self, candidate: str) -> tuple[str, ...]:
        """The regions that could take all of a candidate, its extension aside, for a number."""
        if self._leniency < phonenumbers.Leniency.VALID or _UNSURE.search(candidate):
            return self._regions_for(candidate)
        return self._of_digits("".join(_DIGITS.findall(candidate)))

    def _regions_of_digits(self, digits: str) -> tuple[str, ...]:
        if not LEAST_DIGITS <= len(digits) <= LONGEST_NUMBER:
            return ()
        plain = _ascii_digits(digits)
        if not self._any.fullmatch(plain.encode()):
            return ()
        return tuple(region.name for region in self._known if region.may_take(plain))

    def _stock(
        self, window: str, start: int, end: int, regions: tuple[str, ...]
    ) -> tuple[tuple[int, int], ...]:
        """What the stock matchers of these regions find in the window that begins before `end`.

        Once one of them has taken the whole run [start, end) and no extension can follow, the others have
        nothing to add.
        """
        found: dict[tuple[int, int], None] = {}
        for region in regions:
            for match in _Matcher(window, region, self):
                if match.start >= end:
                    break
                found[match.start, match.end] = None
                if match.start <= start and match.end >= end and not _DIGIT.search(window, match.end):
                    return tuple(found)
        return tuple(found)

    @property
    def leniency(self) -> int:
        """Stock's strictness, 0 to 3."""
        return self._leniency


def _linked(text: str, end: int) -> re.Match[str] | None:
    """The digits that end before `end` and that what begins there may be the extension of."""
    start = max(0, end - LONGEST_LINK)
    digits = text[start:end].rstrip(LINK_SIGNS)
    return _LINKED.search(text, start, end) if digits[-1:].isdecimal() else None


def _in_word(text: str, start: int, end: int) -> bool:
    """Whether a run of nothing but digits touches a letter that is not of an extension's label: no number."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return (before in _LETTERS_BEFORE or after in _LETTERS_AFTER) and text[start:end].isdecimal()


class _Matcher(phonenumbers.PhoneNumberMatcher):
    """The stock matcher, spared the candidates that its region cannot take for a number."""

    def __init__(self, text: str, region: str, walk: PhoneWalk) -> None:
        super().__init__(text, region, leniency=walk.leniency)
        self._region = region
        self._walk = walk

    def _parse_and_verify(self, candidate: str, offset: int) -> Any:
        if self._region not in self._walk.regions_of_candidate(candidate):
            return None
        return super()._parse_and_verify(candidate, offset)


class _Region(NamedTuple):
    """What a region's numbers look like, its sibling regions' of the same country code included."""

    name: str
    bare: str
    """The pattern of a national number."""
    prefixed: str
    """That of one after a national, country or international prefix."""
    transformed: str
    """That of what a rule makes another number of: all that begins with a prefix."""
    national_prefix: re.Pattern[str] | None
    formats: Any

    @classmethod
    def of(cls, name: str) -> "_Region":
        metadata = _metadata(name)
        if metadata is None:  # unknown regions: numbers with a plus only
            return cls(name, NOTHING, NOTHING, NOTHING, None, None)
        code = metadata.country_code
        siblings = [_metadata(region) for region in COUNTRY_CODE_TO_REGION_CODE[code]]
        bare = "|".join(dict.fromkeys(p for s in siblings if s for p in _patterns(s)))
        prefix = metadata.national_prefix_for_parsing
        main = _metadata(COUNTRY_CODE_TO_REGION_CODE[code][0])
        either = "|".join(filter(None, (prefix, main.national_prefix_for_parsing)))
        stripped = f"(?:{either})?" * 2 if either else ""
        ways = [f"{code}{stripped}(?:{bare})"]
        if prefix:
            ways.append(f"(?:{prefix})(?:{bare})")
        if metadata.international_prefix:
            ways.append(rf"(?:{metadata.international_prefix})\d{{4,}}")
        transformed = rf"(?:{prefix})\d*" if prefix and metadata.national_prefix_transform_rule else NOTHING
        parsed = re.compile(prefix) if prefix else None
        return cls(name, bare, "|".join(ways), transformed, parsed, main.number_format)

    def may_take(self, digits: str) -> bool:
        """Whether the stock matcher could take these digits for a number; false is certain."""
        if _compiled(self.prefixed).fullmatch(digits.encode()):
            return True
        if _compiled(self.transformed).fullmatch(digits.encode()) and _is_number(digits, self.name):
            return True
        if not _compiled(self.bare).fullmatch(digits.encode()):
            return False
        if self.national_prefix is not None and self.national_prefix.match(digits):
            return True
        return not _needs_prefix(self.formats, digits)


def _is_number(digits: str, region: str) -> bool:
    """Whether stock takes digits by themselves for a number: it parses no others for signs between them."""
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(digits, region))
    except phonenumbers.NumberParseException:
        return False


def _in_a_row(groups: list[str]) -> Iterator[str]:
    """The digits of each sequence of groups of which a number can have so many."""
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group
            if len(digits) > LONGEST_NUMBER:
                break
            if len(digits) >= LEAST_DIGITS:
                yield digits


def _needs_prefix(formats: Any, number: str) -> bool:
    """Whether a national number counts only with its national prefix (stock asks this of every number)."""
    layout: Any = _choose_formatting_pattern_for_number(formats, number)
    if layout is None or not layout.national_prefix_formatting_rule:
        return False
    if layout.national_prefix_optional_when_formatting:
        return False
    return not _formatting_rule_has_first_group_only(layout.national_prefix_formatting_rule)


@functools.cache
def _compiled(pattern: str) -> Any:
    """By RE2, which compiles these long alternatives twenty times as fast, or by `re`."""
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return re.compile(pattern.encode())


def _metadata(region: str) -> Any:
    return PhoneMetadata.metadata_for_region(region, None)


def _patterns(metadata: Any) -> Iterator[str]:
    """The patterns of all types of a region's numbers: a valid number matches one of them."""
    for name in _DESCRIPTIONS:
        description = getattr(metadata, name)
        if description is not None and description.national_number_pattern:
            yield description.national_number_pattern


def _ascii_digits(text: str) -> str:
    return text if text.isascii() else "".join(str(unicodedata.decimal(c, c)) for c in text)
