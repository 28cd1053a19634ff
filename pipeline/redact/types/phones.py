"""Phone numbers that phonenumbers does not take: invalid area codes, odd separators, regions not configured.

A value counts by its layout (+, 00, brackets, a national zero, 3-3-4), or after a word for phones. Dates,
times, addresses of the internet, amounts and order numbers have other layouts.
"""

import re
from collections.abc import Callable

from pipeline.redact.types.shape import Shape

# fmt: off
_CALLING_CODES = frozenset((
    "1", "7", "20", "27", *map(str, range(30, 35)), "36", "39", "40", "41", *map(str, range(43, 50)),
    *map(str, range(51, 59)), *map(str, range(60, 67)), "81", "82", "84", "86", *map(str, range(90, 96)),
    "98",
    "211", "212", "213", "216", "218", *map(str, range(220, 270)), "290", "291", "297", "298", "299",
    *map(str, range(350, 360)), *map(str, range(370, 384)), "385", "386", "387", "389", "420", "421", "423",
    *map(str, range(500, 510)), *map(str, range(590, 600)), *map(str, range(670, 693)), "800", "808", "850",
    "852", "853", "855", "856", "870", "878", "880", "881", "882", "883", "886", "888",
    *map(str, range(960, 969)), *map(str, range(970, 980)), *map(str, range(992, 999)),
))
# fmt: on
"""Country calling codes (ITU-T E.164 assigned codes)."""
_S = r"[ .\-/()\u00a0\u2009\u202f\u2010\u2011\u2013]"
_EXT = r"(?:[ ,;]{0,2}(?:x|ext\.?|extn\.?|extension|durchwahl|доб\.?|#)[ :.]{0,2}\d{1,6})?"
_START, _END = r"(?<![\w+.,:/#$€£-])", r"(?![\w])(?![.,:/-]\d)(?![ ]?%)"
_DATE = re.compile(
    r"(?:19|20)\d\d[-./ ](?:0?[1-9]|1[0-2])[-./ ](?:0?[1-9]|[12]\d|3[01])(?!\d).*|(?:0?[1-9]|[12]\d"
    r"|3[01])([-./ ])(?:0?[1-9]|[12]\d|3[01])\1(?:19|20)?\d\d(?!\d).*|(?:19|20)\d\d(?:0[1-9]"
    r"|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[ T-]?\d{4,6})?"
)
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_WORDS = (
    r"(?:\b(?:tele|cell|mobile|home|work|office|smart)?[ -]?phones?\b|\bph\b|\btel\b|\bcell(?:ular)?\b"
    r"|\bmobile\b|\bmob\b|\bfax\b|\bwhats ?app\b|\bsms\b|\bviber\b|\bhotline\b|\bvoicemail\b|\bmsisdn\b"
    r"|\b(?:emergency|daytime) (?:contact|number)\b|\btelef[oó]n[oe]?\b|\btelefax\b|\bt[ée]l[ée]phone\b"
    r"|\bt[ée]l\b|\bportable\b|\bm[óo]vil\b|\bcelular\b|\bhandy(?:nummer)?\b|\brufnummer\b"
    r"|\bmobil(?:nummer)?\b|\bmobiltelefon\b|\bcellulare\b|\bpuhelin\b|\btelefoon\b|телефон|тел\.|電話|电话|手机"
    r"|전화|टेलीफ़ोन|फ़ोन|هاتف|טלפון)"
)
_VERBS = (
    r"(?:\b(?:my|your|his|her|their|our|new|direct|contact|personal|private|business|local|support"
    r"|service) number\b|\b(?:office|home|work|direct|main|desk|landline)\s?:|\b[PTMFC]:\s|\b(?:call(?:ed"
    r"|ing|s|back)?(?: (?:me|us|him|her|them|back))?(?: back)?|text(?:ed)? (?:me|us)|dial(?:ed)?|ring|rang"
    r"|reach(?:ed|able)?|contact(?: (?:number|no\.?|at|me|us|details))?)\b)"
)
_LABELS = r"(?:office|mobile|mob|cell|home|work|fax|tel|telephone|phone|direct|main|desk|whatsapp|landline)"
_TO = r"(?:[^\d\n<>{}]{0,24}?|[^\d\n<>{}]{0,12}:?[ \t\r]{0,3}\n[ \t(+]{0,8})"
"""From a word to its number, which may stand on the next line."""
_NATIONAL = rf"[(+]{{0,2}}\d(?:{_S}{{0,3}}\d){{5,16}}"


def _number(value: str) -> str:
    main = re.split(r"(?i)[ ,;]*(?:x|e|durchwahl|доб|#)", value, maxsplit=1)[0]
    return "".join(str(int(c)) for c in main if c.isdecimal())


def _has_calling_code(number: str, least: int) -> bool:
    """Whether a number begins with a calling code, and has `least` to 15 digits in all (E.164)."""
    return least <= len(number) <= 15 and any(number[:n] in _CALLING_CODES for n in (1, 2, 3))


def _international(value: str) -> bool:
    separated = re.search(r"\d[^\d]+\d", value) is not None
    return _has_calling_code(_number(value), 8 if separated else 9)


def _with_00(value: str) -> bool:
    return _has_calling_code(_number(value)[2:], 9)


def _layout(value: str) -> bool:
    return not _DATE.match(value) and not _ADDRESS.match(value) and len(set(_number(value))) > 2


def _bracketed(value: str) -> bool:
    return 7 <= len(_number(value)) <= 13 and not re.match(r"\((?:19|20)\d\d\)", value)


def _trunk(value: str) -> bool:
    return 8 <= len(_number(value)) <= 12 and _layout(value)


def _triples(value: str) -> bool:
    """Three groups of three that are no round numbers, colours, sizes or a grouped amount."""
    groups = re.findall(r"\d{3}", value)
    return len(set(groups)) > 1 and not all(
        g.endswith("0") or g in ("255", "256", "512", "128", "768") for g in groups
    )


def _pairs(value: str) -> bool:
    return len(set(_number(value))) > 2 and not re.match(
        r"(?:1\d|2\d)-(?:0\d|1[0-2])-(?:[0-2]\d|3[01])-", value
    )


def _in_context(value: str) -> bool:
    number = _number(value)
    if (
        not (6 if re.search(r"\d\D+\d", value) else 7) <= len(number) <= 16
        or _DATE.fullmatch(value)
        or _ADDRESS.fullmatch(value)
    ):
        return False
    return not re.fullmatch(r"1[5-9]\d{11}", value)  # a time in milliseconds


def _after_verb(value: str) -> bool:
    """Calls and reaches count things too: a separator, or the digits of a whole number."""
    if value.isdigit():
        return len(value) >= 9 and not re.match(r"1[5-9]\d{8}", value) and _in_context(value)
    return _in_context(value)


def _shape(pattern: str, accept: Callable[[str], bool] = _layout) -> Shape:
    return Shape("PHONE_NUMBER", (), re.compile(pattern, re.I), accept)


PATTERNS: tuple[Shape, ...] = (
    # +CC and digits in any groups, with or without (0)
    _shape(rf"(?<![\w+])\(?\+{_S}?\d(?:{_S}{{0,3}}\d){{7,15}}\)?{_EXT}{_END}", _international),
    # 00CC, grouped
    _shape(
        rf"{_START}\(?00[ -]?[1-9]\d{{0,2}}\)?{_S}{{1,3}}\d(?:{_S}{{0,3}}\d){{5,12}}{_EXT}{_END}", _with_00
    ),
    # 3-3-4 with one sign or brackets
    _shape(rf"{_START}(?:1[-. ])?[2-9]\d{{2}}-\d{{3}}-\d{{4}}{_EXT}{_END}"),
    _shape(rf"{_START}(?:1[-. ])?[2-9]\d{{2}}\.\d{{3}}\.\d{{4}}{_EXT}{_END}"),
    # an area code in brackets
    _shape(
        rf"(?<![\w.)\]])(?:[18][ -]?)?\(\d{{2,5}}\)[ /-]{{0,2}}\d{{2,4}}(?:[ .-]?\d{{2,8}}){{1,3}}"
        rf"{_EXT}{_END}",
        _bracketed,
    ),
    # a national zero, then groups
    _shape(
        rf"{_START}(?<!\d[ -])0\d{{1,4}}[ /-]{{1,2}}\d{{3,8}}(?:[ -]\d{{2,5}}){{0,3}}"
        rf"{_EXT}{_END}(?! ?[0-9a-f]{{2}}\b)",
        _trunk,
    ),
    _shape(rf"{_START}(?<!\d[ -])0[1-9](?:[ .]\d\d){{4}}{_END}(?! ?[0-9a-f]{{2}}\b)"),
    # nine digits in threes, eight or ten in pairs: no other value of a trace is written so
    _shape(
        rf"{_START}(?<!\d )(?<![€$£¥] )[2-9]\d\d \d{{3}} \d{{3}}{_END}(?! \d)"
        rf"(?!\s?(?:[€$£¥%]|(?-i:[A-Z]{{3}})\b"
        rf"|(?:rows?|users?|units?|bytes"
        r"|people|records?|items?|tokens?|euros?|dollars?|pounds|million|kr|zł)\b))",
        _triples,
    ),
    _shape(rf"{_START}\d\d(?:-\d\d){{3,4}}{_END}(?!-)", _pairs),
    Shape(
        "PHONE_NUMBER",
        (),
        re.compile(
            rf"(?P<v>(?<![\w.$€£#-])(?<!\d,){_NATIONAL}{_EXT})[ \t]{{0,2}}[(\[,|–-]?[ \t]?{_LABELS}\b", re.I
        ),
        _after_verb,
    ),
    Shape(
        "PHONE_NUMBER",
        (),
        re.compile(rf"{_WORDS}{_TO}(?P<v>(?<![\w.,$€£#]){_NATIONAL}{_EXT}){_END}", re.I),
        _in_context,
    ),
    Shape(
        "PHONE_NUMBER",
        ("call", "text", "dial", "ring", "rang", "reach", "contact"),
        re.compile(rf"{_VERBS}{_TO}(?P<v>(?<![\w.,$€£#]){_NATIONAL}{_EXT}){_END}", re.I),
        _after_verb,
    ),
)
