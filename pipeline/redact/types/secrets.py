"""Secrets: private keys, signed tokens, credentials in headers, URLs and assignments, and vendors' keys.

Each kind is named in the output. The group `v`, where there is one, is the part that is redacted. Unbounded
runs begin only where they cannot begin within themselves, so that a scan is linear.
"""

import base64
import binascii
import math
import re
from collections import Counter

from pipeline.redact.types import vendor_keys
from pipeline.redact.types.shape import Shape
from pipeline.redact.types.vendor_keys import has_letter_and_digit

_WORD_RUN = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{3,}")
_PLACEHOLDER = re.compile(
    r"[*x.•_-]+|\$?\{.*|<.*|%.*|\[.*|(?:None|null|nil|true|false|undefined|required|optional|string|str"
    r"|bool)\b.*"
    r"|(?:your|my|the|some|example|changeme|change_me|placeholder|redacted|hidden)[_ -]?.*",
    re.I,
)
_CODE = re.compile(
    r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|(?:os|sys|process|self|this|config|settings|env|request|args"
    r"|ctx)[.\[].*"
)


def _wordlike(value: str) -> float:
    """The share of characters in runs that look like words: letters of one case with a vowel among them."""
    words = (run for run in _WORD_RUN.findall(value) if len(run) > 2 and re.search(r"[aeiouyAEIOUY]", run))
    return sum(map(len, words)) / max(1, len(value))


def _password(value: str) -> bool:
    """A value that is no plain word, no placeholder and no code that reads one."""
    bare = value.strip(".,;:!?'\"()")
    return (
        bool(re.search(r"[\d\W_]", bare)) and not _PLACEHOLDER.fullmatch(bare) and not _CODE.fullmatch(bare)
    )


def _generated(value: str) -> bool:
    """Letters and digits that are mostly not words: identifiers such as `token_v2` are not secrets."""
    if _PLACEHOLDER.fullmatch(value) or _CODE.fullmatch(value):
        return False
    return has_letter_and_digit(value) and (_wordlike(value) < 0.5 or len(re.findall(r"\d", value)) >= 4)


def _base64_pair(value: str) -> bool:
    """Basic authentication: base64 of `user:password`."""
    try:
        return b":" in base64.b64decode(value + "=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        return False


def _url_password(value: str) -> bool:
    """What stands before `@` in a URL, unless it is a port and a path, or a template."""
    return not re.match(r"\d{1,5}[/?#]", value) and not _PLACEHOLDER.fullmatch(value)


def entropy_bits(value: str) -> float:
    """Shannon entropy per character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def _random_40(value: str) -> bool:
    """The shape of an AWS secret key: all three classes of characters, at least 4.2 bits each, few words."""
    classes = (r"[a-z]", r"[A-Z]", r"\d")
    return all(re.search(c, value) for c in classes) and entropy_bits(value) >= 4.2 and _wordlike(value) < 0.6


def _p(pattern: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(pattern, flags)


_ASSIGN = r"[\"'`\\]{0,3}\s{0,3}(?:=>|:=|[:=]|\bis\b)\s{0,3}[\"'`\\]{0,3}"
_CREDENTIAL_NAME = (
    r"(?:api[_-]?key|apikey|access[_-]?key(?:[_-]?id)?|secret[_-]?key|private[_-]?key|client[_-]?secret"
    r"|auth[_-]?key|account[_-]?key|shared[_-]?access[_-]?key|signing[_-]?key|encryption[_-]?key"
    r"|master[_-]?key|app[_-]?key|secret|(?<!page_)(?<!next_)(?<!pagetoken)token|credentials?)"
)
_PEM_BODY = (
    r"(?:\s|\\[nrt]){0,4}(?:[\w-]{2,40}:[^\n\\\"]{0,200}(?:\n|\\n|\\r)(?:\s"
    r"|\\[nrt]){0,4}){0,8}[A-Za-z0-9+/=\s\\\"',]*"
)
"""Armour headers, then base64 in lines; line ends may be written as escapes."""

_KEYS = (
    Shape(
        "PRIVATE_KEY",
        ("-----begin", "---- begin"),
        _p(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            + _PEM_BODY
            + r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|=[A-Za-z0-9+/]{4})?"
        ),
    ),
    Shape(
        "PRIVATE_KEY",
        ("---- begin",),
        _p(r"---- BEGIN SSH2 (?:ENCRYPTED )?PRIVATE KEY ----" + _PEM_BODY),
    ),
    Shape("PRIVATE_KEY", ("private-lines:",), _p(r"Private-Lines:\s{0,3}\d{1,4}\s{1,4}(?P<v>[\w+/=\s]+)")),
    Shape("PRIVATE_KEY", ("age-",), _p(r"AGE-(?:SECRET-KEY|PLUGIN-[A-Z0-9-]{1,30})-1[A-Z0-9]{50,}")),
    Shape(
        "SEED_PHRASE",
        ("seed", "mnemonic", "recovery phrase"),
        _p(
            r"(?:seed|mnemonic|recovery)(?:\sphrase|\swords)?"
            + _ASSIGN
            + r"(?P<v>(?:[a-z]{3,8}\s){11,23}[a-z]{3,8})",
            re.I,
        ),
    ),
    Shape("JWT", ("eyj",), _p(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*(?:\.[\w-]+\.[\w-]+)?")),
    Shape("AWS_SECRET_KEY", (), _p(r"(?<![A-Za-z0-9/+_-])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=_-])"), _random_40),
)

_HEADERS = (
    Shape(
        "BEARER_TOKEN", ("bearer",), _p(r"\bbearer\s{1,3}(?P<v>[\w.~+/=-]{8,})", re.I), has_letter_and_digit
    ),
    Shape("BASIC_AUTH", ("basic",), _p(r"\bbasic\s{1,3}(?P<v>[A-Za-z0-9+/]{6,}={0,2})", re.I), _base64_pair),
    Shape(
        "SECRET",
        ("authorization",),
        _p(
            r"\b(?:proxy-)?authorization[\"'\\]{0,3}\s{0,3}[:=]\s{0,3}[\"'\\]{0,3}"
            r"(?:[A-Za-z][\w-]{1,20}\s{1,2})?(?P<v>[\w.~+/=:-]{12,})",
            re.I,
        ),
        has_letter_and_digit,
    ),
    Shape(
        "COOKIE",
        ("cookie",),
        _p(
            r"\b(?:set-)?cookie[\"'\\]{0,3}\s{0,3}:\s{0,3}[\"'\\]{0,3}"
            r"(?P<v>[\w.$-]{1,64}=[^\s;,\"'<>]{4,}(?:;\s{0,2}[\w.$-]{1,64}(?:=[^;\"'\n<>]*)?)*)",
            re.I,
        ),
    ),
    Shape(
        "COOKIE",
        ("sess", "connect.sid", "csrf", "xsrf"),
        _p(
            r"\b(?:JSESSIONID|PHPSESSID|ASP\.NET_SessionId|connect\.sid|laravel_session"
            r"|_?[a-z]{1,20}_session|sessionid|csrf_?token|xsrf-token"
            r"|csrfmiddlewaretoken)[\"']{0,2}\s{0,2}[=:]\s{0,2}[\"']{0,2}"
            r"(?P<v>[\w.%+/:~-]{12,})",
            re.I,
        ),
        has_letter_and_digit,
    ),
)

_ASSIGNMENTS = (
    Shape(
        "URL_PASSWORD",
        ("://",),
        _p(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@\"']{0,64}:(?P<v>[^\s\"'<>]{1,128})@(?=[\w.\[\-])"),
        _url_password,
    ),
    Shape(
        "PASSWORD",
        ("pass", "pwd", "contrase", "senha", "kennwort"),
        _p(
            r"(?:password|passwd|passphrase|passcode|passwort|kennwort|contraseña|senha|pwd)"
            + _ASSIGN
            + r"(?P<v>[^\s\"'`,;<>&]{4,128})",
            re.I,
        ),
        _password,
    ),
    Shape(
        "PASSWORD",
        ("cvv", "cvc", "pin", "otp", "code", "passcode"),
        _p(
            r"\b(?:cvv2?|cvc2?|(?:card\s)?security\scode|pin(?:\scode|\snumber)?|otp|passcode"
            r"|(?:verification|one[- ]time|confirmation|login|access|auth)\s(?:pass)?code)(?:\s(?:is|of)"
            r"|\s?[:=#])"
            r"\s{0,3}[\"']?(?P<v>\d{3,8})(?![\d.])",
            re.I,
        ),
    ),
    Shape(
        "PASSWORD",
        ("--pass", "--pwd"),
        _p(
            r"(?<![\w-])--(?:[a-z]{1,20}-)?(?:password|passwd|pass"
            r"|pwd)[ =]{1,2}[\"']?(?P<v>[^\s\"'<>$-][^\s\"'<>]{2,128})"
        ),
    ),
    Shape(
        "SECRET",
        ("--",),
        _p(
            r"(?<![\w-])--(?:[a-z]{1,20}-){0,3}(?:token|secret|api-?key|key"
            r"|credentials?)[ =]{1,2}[\"']?(?P<v>[\w.~+/=-]{8,})"
        ),
        _generated,
    ),
    Shape(
        "SECRET",
        ("key", "secret", "token", "credential"),
        _p(_CREDENTIAL_NAME + _ASSIGN + r"(?P<v>[A-Za-z0-9_.~+/=-]{8,})(?![(\[\w])", re.I),
        _generated,
    ),
)

PATTERNS: tuple[Shape, ...] = (*vendor_keys.PATTERNS, *_KEYS, *_HEADERS, *_ASSIGNMENTS)

SECRET_ENTITIES = frozenset(p.entity for p in PATTERNS)
"""Named secrets: no id is let through that holds one."""
