"""Cards and accounts that stock patterns miss: other issuers, lengths and separators, words before them."""

import re

from pipeline.redact.types.checks import digits, luhn, mod_97_10, plain
from pipeline.redact.types.shape import Shape

_GAP = r"[ .\-/_\u00a0\u2009\u202f]{0,2}"
_SEP = r"[ .\-/_\u00a0\u2009\u202f]{1,2}"
_START, _END = r"(?<![\w.,$€£+-])", r"(?![\w])(?![.,]\d)"
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|09|[689]\d)\d{11,16}|35(?:2[89]|[3-8]\d)\d{12,15}|(?:2131|1800)\d{11}|220[0-4]\d{12,15}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12,15}|62\d{14,17}|6[0-9]\d{14,17}|5[06-8]\d{14,17}|9[78]\d{14}|81\d{14,17}"
)
"""First digits and lengths of issuers (ISO/IEC 7812 ranges as issuers publish them), 13 to 19 digits."""
_MAESTRO = re.compile(r"(?:5018|5020|5038|5[6-8]\d\d|6304|6390|67\d\d|0604)\d{8,15}")
_CARD_WORDS = (
    r"(?:\b(?:credit|debit|bank|payment|charge|gift)?[ _-]?cards?\b|\bvisa\b|\bmaster ?card\b|\bmaestro\b"
    r"|\bamex\b"
    r"|american express|\bdiscover\b|\bdiners\b|\bjcb\b|\bunionpay\b|\bcc\b|kartennummer|kreditkarte|tarjeta"
    r"|carte (?:bancaire|de cr[ée]dit|bleue)|cart[ãa]o|carta di credito|kredittkort|kreditkort|pan\b"
    r"|paid with)"
)


def _card(value: str) -> bool:
    """An issuer's first digits and length, and the Luhn sum (ISO/IEC 7812-1)."""
    number = "".join(map(str, digits(value)))
    return bool(_ISSUERS.fullmatch(number)) and luhn(number) and len(set(number)) > 2


def _card_in_context(value: str) -> bool:
    """After a word for cards: the Luhn sum, or a card's first digit and length (a digit may be mistyped)."""
    number = "".join(map(str, digits(value)))
    if len(number) == 12:
        return bool(_MAESTRO.fullmatch(number)) or (luhn(number) and number[0] in "3456")
    return (
        (luhn(number) and not number.startswith("1"))
        or number[0] in "3456"
        or bool(_ISSUERS.fullmatch(number))
    )


def _iban_in_context(value: str) -> bool:
    return len(plain(value)) >= 12 and len(digits(value)) >= 6


def _shape(layout: str) -> Shape:
    return Shape("CREDIT_CARD", (), re.compile(_START + layout + _END), _card)


PATTERNS: tuple[Shape, ...] = (
    _shape(r"\d{13,19}"),
    _shape(rf"\d{{4}}{_SEP}\d{{4}}{_SEP}\d{{4}}{_SEP}\d{{4}}"),
    _shape(rf"\d{{4}}{_SEP}\d{{4}}{_SEP}\d{{4}}{_SEP}\d{{4}}{_SEP}\d{{3}}"),
    _shape(rf"\d{{4}}{_SEP}\d{{6}}{_SEP}\d{{4,5}}"),
    Shape(
        "CREDIT_CARD",
        (),
        re.compile(rf"{_CARD_WORDS}(?:[^\d\n]{{0,32}}|[^\d\n]{{0,12}}\n[ \t]{{0,8}})"
            rf"(?P<v>(?<![\w.,$€£])\d(?:{_GAP}\d){{11,18}}){_END}", re.I),
        _card_in_context,
    ),
    Shape("IBAN_CODE", (), re.compile(r"(?<!\w)[A-Z]{2}\d{2}[A-Z0-9]{11,30}(?!\w)"), mod_97_10),
    Shape(
        "IBAN_CODE",
        (),
        re.compile(r"(?<!\w)[A-Za-z]{2}\d{2}(?:[ -][A-Za-z0-9]{4}){2,7}(?:[ -][A-Za-z0-9]{1,3})?(?!\w)"),
        mod_97_10,
    ),
    Shape(
        "IBAN_CODE",
        ("iban",),
        re.compile(
            r"\biban\b[^\w\n]{0,6}(?:(?:is|no|nr|number|code)\b[^\w\n]{0,4}){0,2}"
            r"(?P<v>[A-Z]{2}\d{2}(?:[ -]?(?:[A-Z0-9]{4})){2,7}[ -]?[A-Z0-9]{0,4})(?!\w)",
            re.I,
        ),
        _iban_in_context,
    ),
    Shape(
        "US_BANK_NUMBER",
        ("routing", "aba", "sort code", "account", "acct", "clabe", "konto", "cuenta", "conta", "compte"),
        re.compile(
            r"(?:\b(?:aba|routing|transit)(?:\s(?:number|no\.?|#|code))?|\bsort[ -]code|\bclabe"
            r"|\b(?:bank\s|checking\s|savings\s)?(?:account|acct\.?|a/c)\s?(?:number|num|no\.?|#)|kontonummer"
            r"|n[úu]mero de cuenta|n[úu]mero da conta|num[ée]ro de compte)"
            r"(?:\s(?:is|ending))?[\s:=#\"']{0,4}(?P<v>\d(?:[ -]?\d){4,19})(?![\w-])",
            re.I,
        ),
    ),
)  # fmt: skip
