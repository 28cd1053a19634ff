"""Recognizers for secrets, registered beside Presidio's own. Each kind is named in the output.

Every pattern is bounded, so that a scan is linear. The group `v`, where there is one, is the part
that is redacted; `literals` are lower-case strings of which at least one is in every match, which lets
most text pass unscanned.
"""

import base64
import binascii
import math
import re
from collections import Counter

from pipeline.redact.types.shape import Shape


def _mixed(value: str) -> bool:
    """Letters and digits, as generated secrets have and words have not."""
    return bool(re.search(r"\d", value) and re.search(r"[A-Za-z]", value))


def _password(value: str) -> bool:
    return bool(re.search(r"[\d\W_]", value.strip(".,;:!?'\"")))


def _base64_pair(value: str) -> bool:
    """Basic authentication: base64 of `user:password`."""
    try:
        return b":" in base64.b64decode(value + "=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        return False


def entropy_bits(value: str) -> float:
    """Shannon entropy per character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def _random_40(value: str) -> bool:
    """The shape of an AWS secret key: all three classes of characters, and at least 4.2 bits each."""
    classes = (r"[a-z]", r"[A-Z]", r"\d")
    return all(re.search(c, value) for c in classes) and entropy_bits(value) >= 4.2


_S, _E = r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"


def _p(pattern: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(pattern, flags)


def _tokens(entity: str, literal: str, pattern: str) -> Shape:
    return Shape(entity, (literal.lower(),), _p(_S + pattern))


_ASSIGN = r"[\"'`]{0,2}\s{0,3}(?:=>|:=|[:=]|\bis\b)\s{0,3}[\"'`]{0,2}"
_CREDENTIAL_NAME = (
    r"(?:api[_-]?key|apikey|access[_-]?key|secret[_-]?key|private[_-]?key|client[_-]?secret|auth[_-]?key|"
    r"secret|token|credentials?)"
)

PATTERNS: tuple[Shape, ...] = (
    Shape(
        "AWS_ACCESS_KEY",
        ("akia", "asia", "abia", "acca"),
        _p(_S + r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}" + _E),
    ),
    Shape(
        "AWS_SECRET_KEY", (), _p(r"(?<![A-Za-z0-9/+=_-])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=_-])"), _random_40
    ),
    _tokens("GCP_API_KEY", "AIza", r"AIza[0-9A-Za-z_-]{35}"),
    _tokens("GCP_OAUTH_TOKEN", "ya29.", r"ya29\.[0-9A-Za-z_-]{20,1024}"),
    Shape("AZURE_KEY", ("==",), _p(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}==")),
    _tokens("AZURE_CLIENT_SECRET", "q~", r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"),
    Shape("AZURE_SAS", ("sig=",), _p(r"[?&]sig=(?P<v>[A-Za-z0-9%+/=]{40,70})")),
    Shape("GITHUB_TOKEN", ("gh",), _p(_S + r"(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255})")),
    _tokens("GITLAB_TOKEN", "glpat-", r"glpat-[A-Za-z0-9_-]{20,64}"),
    Shape("SLACK_TOKEN", ("xox", "xapp-"), _p(_S + r"(?:xox[abeprs]|xapp)-[A-Za-z0-9-]{10,250}")),
    _tokens("SLACK_WEBHOOK", "hooks.slack.com", r"hooks\.slack\.com/services/(?P<v>[A-Za-z0-9/]{20,80})"),
    Shape(
        "STRIPE_KEY",
        ("_live_", "_test_", "whsec_"),
        _p(_S + r"(?:[srp]k_(?:live|test)_[A-Za-z0-9]{16,250}|whsec_[A-Za-z0-9+/=]{24,80})"),
    ),
    _tokens("ANTHROPIC_KEY", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{20,250}"),
    Shape(
        "OPENAI_KEY",
        ("sk-",),
        _p(_S + r"sk-(?!ant-)(?:proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,250}"),
        _mixed,
    ),
    _tokens("HUGGINGFACE_TOKEN", "hf_", r"hf_[A-Za-z0-9]{30,64}"),
    _tokens("NPM_TOKEN", "npm_", r"npm_[A-Za-z0-9]{36}"),
    _tokens("PYPI_TOKEN", "pypi-", r"pypi-[A-Za-z0-9_-]{50,400}"),
    _tokens("SENDGRID_KEY", "sg.", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"),
    Shape("TWILIO_KEY", ("sk", "ac"), _p(_S + r"(?:SK|AC)[0-9a-f]{32}" + _E)),
    _tokens("JWT", "eyj", r"eyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{0,1024}"),
    Shape(
        "PRIVATE_KEY",
        ("-----begin",),
        _p(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[^-]|-(?!----)){0,20000}(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
        ),
    ),
    Shape("BEARER_TOKEN", ("bearer",), _p(r"\bbearer\s{1,3}(?P<v>[\w.~+/=-]{8,4096})", re.I), _mixed),
    Shape(
        "BASIC_AUTH", ("basic",), _p(r"\bbasic\s{1,3}(?P<v>[A-Za-z0-9+/]{6,1024}={0,2})", re.I), _base64_pair
    ),
    Shape(
        "URL_PASSWORD",
        ("://",),
        _p(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@\"']{0,64}:(?P<v>[^\s@\"'<>]{1,128})@"),
    ),
    Shape(
        "PASSWORD",
        ("pass", "pwd"),
        _p(r"(?:password|passwd|passphrase|passcode|pwd)" + _ASSIGN + r"(?P<v>[^\s\"'`,;<>]{4,128})", re.I),
        _password,
    ),
    Shape(
        "SECRET",
        ("key", "secret", "token", "credential"),
        _p(_CREDENTIAL_NAME + _ASSIGN + r"(?P<v>[A-Za-z0-9_.~+/=-]{8,512})", re.I),
        _mixed,
    ),
)

SECRET_ENTITIES = frozenset(p.entity for p in PATTERNS)
"""Named secrets: no id is let through that holds one."""
