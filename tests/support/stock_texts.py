"""Texts for the differential fuzz: values of every type that stock recognizers find, in all kinds of text.

Everything follows from the seed. Values come from Faker in many locales or are made with right check
digits; then they are mutated (separators, glued letters and signs, case, other digits) and framed (prose,
JSON, logs, CSV, runs of digits).
"""

import hashlib
import json
import random
from collections.abc import Callable, Iterator

from faker import Faker

LOCALES = (
    "en_US", "en_GB", "en_IN", "en_CA", "de_DE", "fr_FR", "he_IL", "pt_BR", "es_MX", "it_IT",
    "pl_PL", "ru_RU", "ja_JP", "zh_CN", "ar_SA", "hi_IN", "tr_TR", "el_GR", "sv_SE", "ko_KR",
)  # fmt: skip
REGIONS = ("1", "44", "49", "33", "972", "91", "55", "41", "61", "86", "7", "1876", "441481", "353", "34")
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_WORDS = (
    "please", "check", "the", "booking", "order", "status", "refund", "for", "customer", "agent", "tool",
    "call", "result", "account", "policy", "update", "invoice", "shipped", "item", "user", "id", "ticket",
    "on", "by", "with", "from", "was", "is", "not", "available", "now", "again", "total", "amount", "at",
)  # fmt: skip

Draw = Callable[[random.Random], str]


def _digits(draw: random.Random, count: int, first: str = "0123456789") -> str:
    return draw.choice(first) + "".join(draw.choices("0123456789", k=count - 1))


def _card(draw: random.Random) -> str:
    body = draw.choice(("4", "51", "55", "34", "37", "6011", "65", "35", "36"))
    body += _digits(draw, (14 if body in ("34", "37") else 15) - len(body))
    doubled = sum(sum(divmod(int(d) * 2, 10)) if i % 2 == 0 else int(d) for i, d in enumerate(reversed(body)))
    body += str(-doubled % 10)
    sign = draw.choice(("", "", "-", " "))
    return sign.join(body[i : i + 4] for i in range(0, len(body), 4))


def _nhs(draw: random.Random) -> str:
    while True:
        body = _digits(draw, 9)
        check = 11 - sum(int(d) * w for d, w in zip(body, range(10, 1, -1), strict=True)) % 11
        if check != 10:
            number = body + str(check % 11)
            return draw.choice(("", " ", "-")).join((number[:3], number[3:6], number[6:]))


def _dea(draw: random.Random) -> str:
    body = _digits(draw, 6)
    check = sum(map(int, body[0::2])) + 2 * sum(map(int, body[1::2]))
    return draw.choice("ABFMPR") + draw.choice("ABCDXYZ9") + body + str(check % 10)


def _wallet(draw: random.Random) -> str:
    payload = b"\x00" + draw.randbytes(20)
    payload += hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, text = int.from_bytes(payload, "big"), ""
    while number:
        number, index = divmod(number, 58)
        text = _BASE58[index] + text
    return "1" + text


def _phone(draw: random.Random) -> str:
    code = draw.choice(REGIONS)
    body = code + _digits(draw, draw.choice((7, 8, 9, 9, 10, 10)), "23456789")
    style = draw.randrange(7)
    if style == 0:
        return "+" + body
    if style == 1:
        return f"+{code} " + " ".join(_grouped(draw, body[len(code) :]))
    if style == 2:
        return "00" + body
    if style == 3:
        return f"(0{body[3:5]}) {body[5:]}"
    if style == 4:
        area = f"{draw.choice((212, 310, 415, 416, 604, 787, 876, 242, 340))}"
        end = draw.choice(("", " x12", " ext. 304", "x5", "#77"))
        return draw.choice(("-", ".", " ", "")).join((area, _digits(draw, 3, "2345"), _digits(draw, 4))) + end
    if style == 5:
        return "0" + " ".join(_grouped(draw, _digits(draw, draw.choice((8, 9, 10, 11)), "1235679")))
    return draw.choice(("-", "/", "–", ".", "ー", " - ")).join(_grouped(draw, body))


def _grouped(draw: random.Random, digits: str) -> list[str]:
    groups: list[str] = []
    while digits:
        size = draw.randint(2, 4)
        groups.append(digits[:size])
        digits = digits[size:]
    return groups


def _plain(letters: str, low: int, high: int) -> Draw:
    return lambda draw: (
        "".join(draw.choices(letters, k=draw.randint(0, 2)) if letters else ())
        + _digits(draw, draw.randint(low, high))
    )


def _ssn(draw: random.Random) -> str:
    sign = draw.choice(("-", "-", " ", ".", ""))
    return sign.join((f"{draw.randint(100, 665)}", f"{draw.randint(10, 99)}", f"{draw.randint(1000, 9999)}"))


def _itin(draw: random.Random) -> str:
    sign = draw.choice(("-", " ", ""))
    return sign.join((f"9{_digits(draw, 2)}", f"{draw.randint(70, 88)}", _digits(draw, 4)))


def _passport(draw: random.Random) -> str:
    return draw.choice("ABCXZ") + _digits(draw, 8)


def _time(draw: random.Random) -> str:
    day = f"{draw.randint(1990, 2030)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
    return f"{day} {draw.randint(0, 23):02}:{draw.randint(0, 59):02}:{draw.randint(0, 59):02}"


def _from_faker(method: str) -> Draw:
    def draw_one(draw: random.Random) -> str:
        fake = _faker(draw.choice(LOCALES))
        fake.seed_instance(draw.getrandbits(40))
        return str(getattr(fake, method)())

    return draw_one


_fakers: dict[str, Faker] = {}


def _faker(locale: str) -> Faker:
    if locale not in _fakers:
        _fakers[locale] = Faker(locale)
    return _fakers[locale]


VALUES: dict[str, tuple[tuple[str, ...], Draw]] = {
    "card": (("credit card", "Visa", "cc", "amex number", "карта"), _card),
    "ssn": (("ssn", "social security number", "SSN is", "ssid"), _ssn),
    "itin": (("itin", "taxpayer id", "tax", "individual taxes"), _itin),
    "bank": (("bank account", "acct", "account#", "saving", "checking", "debited"), _plain("", 8, 17)),
    "passport": (("passport", "travel document", "us passport no"), _passport),
    "passport digits": (("passport", "documents of travel"), _plain("", 9, 9)),
    "license": (("driver license", "driving permit", "licence", "identification"), _plain("ABHVX", 4, 13)),
    "nhs": (("nhs", "national health service", "patient"), _nhs),
    "dea": (("medical certificate", "DEA", "prescriber"), _dea),
    "wallet": (("wallet", "btc", "send bitcoins to"), _wallet),
    "iban": (("iban", "transfer to", "bank"), _from_faker("iban")),
    "e-mail": (("email", "mail", "write to", "contact"), _from_faker("email")),
    "phone": (("phone", "call", "mobile", "cell", "number", "tel.", "电话"), _phone),
    "faker phone": (("phone", "calling", "telephone", "fax"), _from_faker("phone_number")),
    "name": (("name", "customer", "Dear", "signed by"), _from_faker("name")),
    "city": (("city", "from", "to", "lives in"), _from_faker("city")),
    "ipv4": (("ip", "from", "host", "peer"), lambda d: ".".join(str(d.randint(0, 255)) for _ in range(4))),
    "ipv6": (("ipv6", "from", "addr"), _from_faker("ipv6")),
    "mac": (("mac", "hardware address", "device"), _from_faker("mac_address")),
    "integer": (("total", "id", "offset", "count"), _plain("", 3, 16)),
    "time": (("at", "since"), _time),
}  # fmt: skip
"""The words that may stand before a value of each kind, and how one is drawn."""


def _mutated(draw: random.Random, value: str) -> str:
    """The value, one time in three changed as people and programs change them."""
    choice = draw.randrange(24)
    changes: dict[int, Callable[[], str]] = {
        0: value.upper,
        1: value.lower,
        2: lambda: value.replace("-", "\u2011"),
        3: lambda: value.replace(" ", "\xa0"),
        4: lambda: value.translate({ord(d): chr(0xFF10 + int(d)) for d in "0123456789"}),
        5: lambda: draw.choice(("x", "é", "中", "_", "$", "%", "(", "<", "＃", "a\u0301")) + value,
        6: lambda: (
            value + draw.choice(("x", "ü", "さん", "_", "$", "%", ")", ">", ":", "ा", ".", ",", ":30"))
        ),
        7: lambda: value + value[-3:],
        8: lambda: value.replace("-", " ").replace(".", "-"),
    }
    return changes[choice]() if choice in changes else value


def _phrase(draw: random.Random) -> str:
    words, value = VALUES[draw.choice(tuple(VALUES))]
    lead = draw.choice(words) if draw.random() < 0.8 else ""
    between = draw.choice((" ", " ", ": ", ":", " is ", "=", "\t", " # ", " no. ", '":"', " -> ", "\n"))
    filler = " ".join(draw.choices(_WORDS, k=draw.choice((0, 0, 1, 2, 4))))
    parts = [filler, lead] if draw.random() < 0.7 else [lead, filler]
    return " ".join(filter(None, parts)) + between + _mutated(draw, value(draw))


def _prose(draw: random.Random) -> str:
    ends = (". ", ", ", "; ", " and ", "\n", " (", ") ", " / ", ".\n\n", " — ", "。")
    return "".join(_phrase(draw) + draw.choice(ends) for _ in range(draw.randint(8, 30)))


def _json(draw: random.Random) -> str:
    members = {
        draw.choice(words).replace(" ", draw.choice("_- ")) + (str(i) if i > 8 else ""): draw.choice(
            (value(draw), [value(draw), _phrase(draw)], {"v": value(draw)}, draw.randrange(10**11))
        )
        for i, (words, value) in enumerate(draw.choices(list(VALUES.values()), k=draw.randint(6, 20)))
    }
    return json.dumps(
        members,
        ensure_ascii=draw.random() < 0.5,
        indent=draw.choice((None, 2)),
        separators=draw.choice((None, (",", ":"))),
    )


def _log(draw: random.Random) -> str:
    lines = [
        f"{VALUES['time'][1](draw)},{draw.randrange(1000):03} {draw.choice(('INFO', 'WARN'))} "
        f"[{draw.getrandbits(64):016x}] {draw.choice(('tool', 'api', 'db'))}.call user={draw.choice(_WORDS)} "
        f"{_phrase(draw)} status={draw.randint(200, 599)} ms={draw.random() * 100:.3f}"
        for _ in range(draw.randint(5, 15))
    ]
    return "\n".join(lines)


def _csv(draw: random.Random) -> str:
    columns = draw.choices(list(VALUES.values()), k=draw.randint(3, 7))
    sign = draw.choice((",", ";", "\t", "|"))
    rows = [sign.join(draw.choice(words) for words, _ in columns)]
    rows += [
        sign.join(_mutated(draw, value(draw)) for _, value in columns) for _ in range(draw.randint(4, 10))
    ]
    return "\n".join(rows)


def _runs(draw: random.Random) -> str:
    """Runs of digits and signs: every way that one number may begin within another."""
    signs = (" ", " ", "-", ".", "/", ",", ":", "  ", " - ", ")", " (", "", "\n", "x")
    lead = draw.choice(("", "bank account ", "phone: ", "ssn ", "card "))
    groups = (
        _digits(draw, draw.choice((1, 2, 3, 3, 4, 4, 5, 7, 9, 10, 13))) for _ in range(draw.randint(5, 60))
    )
    return lead + "".join(group + draw.choice(signs) for group in groups)


_FRAMES = (_prose, _prose, _prose, _json, _json, _log, _csv, _csv, _runs)


def text_of(seed: int) -> str:
    """The text of one seed."""
    draw = random.Random(seed)
    return draw.choice(_FRAMES)(draw)


def texts(first: int, step: int = 1) -> Iterator[tuple[int, str]]:
    """Endless (seed, text) pairs."""
    seed = first
    while True:
        yield seed, text_of(seed)
        seed += step
