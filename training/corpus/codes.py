"""Ids, numbers, dates, addresses of machines and identifiers: values that are never personal names."""

from collections.abc import Callable
from random import Random

from training.corpus import english
from training.corpus.lists import words

_SUFFIXES = [
    "py",
    "js",
    "ts",
    "pdf",
    "csv",
    "json",
    "yaml",
    "md",
    "txt",
    "png",
    "docx",
    "xlsx",
    "go",
    "rs",
    "java",
    "sql",
    "html",
    "toml",
]
_HEX = "0123456789abcdef"
_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ALNUM = _UPPER + "0123456789"
_BASE62 = _UPPER + _UPPER.lower() + "0123456789"


def _run(rng: Random, alphabet: str, length: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(length))


def _number(rng: Random, length: int) -> str:
    return str(rng.randrange(10 ** (length - 1), 10**length))


def record_id(rng: Random) -> str:
    """An id with a prefix, as bookings, orders, tickets and customers have."""
    kind = rng.choice(
        (
            "ORD",
            "INV",
            "REQ",
            "INC",
            "TKT",
            "PNR",
            "CUS",
            "ACC",
            "SKU",
            "PO",
            "RMA",
            "CLM",
            "POL",
            "TXN",
            "EMP",
            "CASE",
            "JIRA",
            "BUG",
        )
    )
    word = rng.choice(words("noun"))
    return rng.choice(
        (
            f"{kind}-{_number(rng, rng.randrange(3, 9))}",
            f"{kind}{_number(rng, rng.randrange(3, 7))}",
            f"#{rng.choice(_UPPER)}{_number(rng, rng.randrange(5, 9))}",
            f"#{_number(rng, rng.randrange(4, 9))}",
            f"{word}_{_number(rng, 7)}",
            f"{word}-{_run(rng, _HEX, 8)}",
            f"{word[:4]}_{_run(rng, _BASE62, 20)}",
            _run(rng, _ALNUM, 6),
            _number(rng, 10),
        )
    )


def booking(rng: Random) -> str:
    """A booking code of six letters and digits."""
    return _run(rng, _ALNUM if rng.random() < 0.7 else _UPPER, 6)


def flight(rng: Random) -> str:
    """A flight number."""
    return (
        rng.choice(("AA", "UA", "DL", "BA", "LH", "AF", "KL", "EK", "SQ", "TK", "W6", "FR", "U2", "6E", "AI"))
        + rng.choice(("", " ", "-", ""))
        + str(rng.randrange(1, 9999)).zfill(3)
    )


def uuid(rng: Random) -> str:
    """A UUID."""
    return "-".join(_run(rng, _HEX, length) for length in (8, 4, 4, 4, 12))


def hexadecimal(rng: Random) -> str:
    """A hash or a trace id."""
    return _run(rng, _HEX, rng.choice((7, 8, 16, 32, 40, 64)))


def token(rng: Random) -> str:
    """A key or a token."""
    return rng.choice(("sk-", "ghp_", "pk_live_", "eyJ", "call_", "toolu_", "AKIA", "")) + _run(
        rng, _BASE62, rng.randrange(16, 36)
    )


def date(rng: Random) -> str:
    """A date in one of many formats."""
    year, month, day = rng.randrange(1940, 2031), rng.randrange(1, 13), rng.randrange(1, 29)
    name = words("month")[month - 1]
    return rng.choice(
        (
            f"{year}-{month:02}-{day:02}",
            f"{year}-{month:02}-{day:02}",
            f"{month:02}/{day:02}/{year}",
            f"{day}.{month}.{year}",
            f"{day}/{month}/{year % 100:02}",
            f"{name} {day}, {year}",
            f"{day} {name} {year}",
            f"{name[:3]} {day}",
            f"{name} {day}th",
            f"the {day}th of {name}",
            f"{day} {name[:3]}",
        )
    )


def time(rng: Random) -> str:
    """A time of day."""
    hour, minute = rng.randrange(24), rng.randrange(60)
    return rng.choice(
        (
            f"{hour:02}:{minute:02}",
            f"{hour:02}:{minute:02}:{rng.randrange(60):02}",
            f"{hour % 12 or 12}:{minute:02} {rng.choice(('AM', 'PM', 'am', 'pm'))}",
            f"{hour % 12 or 12}{rng.choice(('am', 'pm'))}",
        )
    )


def timestamp(rng: Random) -> str:
    """A date with a time, as logs and events have."""
    base = f"{rng.randrange(2018, 2028)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"
    clock = f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}"
    return rng.choice(
        (
            f"{base}T{clock}Z",
            f"{base}T{clock}",
            f"{base} {clock}",
            f"{base} {clock},{rng.randrange(1000):03}",
            f"{base}T{clock}.{rng.randrange(1000):03}+00:00",
            _number(rng, 10),
            _number(rng, 13),
        )
    )


def amount(rng: Random) -> str:
    """An amount of money."""
    value = rng.choice((rng.randrange(1, 100), rng.randrange(100, 5000), rng.randrange(1000, 250_000)))
    cents = rng.randrange(100)
    return rng.choice(
        (
            f"${value}",
            f"${value:,}",
            f"${value}.{cents:02}",
            f"€{value},{cents:02}",
            f"£{value}",
            f"{value} {rng.choice(words('currency'))}",
            f"{value}.{cents:02}",
            f"USD {value}",
            f"{value:,}.{cents:02}",
        )
    )


def integer(rng: Random) -> str:
    """A small or middling number."""
    return str(
        rng.choice((rng.randrange(10), rng.randrange(100), rng.randrange(10_000), rng.randrange(1_000_000)))
    )


def decimal(rng: Random) -> str:
    """A number with a point."""
    return f"{rng.randrange(1000)}.{rng.randrange(10_000)}"


def percent(rng: Random) -> str:
    """A percentage."""
    return f"{rng.choice((rng.randrange(100), round(rng.random() * 100, 1)))}%"


def phone(rng: Random) -> str:
    """A telephone number; the phone recognizer finds it, not the tagger."""
    return rng.choice(
        (
            f"+1-{_number(rng, 3)}-{_number(rng, 3)}-{_number(rng, 4)}",
            f"({_number(rng, 3)}) {_number(rng, 3)}-{_number(rng, 4)}",
            f"+44 20 {_number(rng, 4)} {_number(rng, 4)}",
            f"+49 {_number(rng, 3)} {_number(rng, 7)}",
            f"0{_number(rng, 10)}",
            f"{_number(rng, 3)}.{_number(rng, 3)}.{_number(rng, 4)}",
        )
    )


def card(rng: Random) -> str:
    """A card or account number, whole or masked."""
    return rng.choice(
        (
            f"{_number(rng, 4)} {_number(rng, 4)} {_number(rng, 4)} {_number(rng, 4)}",
            _number(rng, 16),
            f"**** **** **** {_number(rng, 4)}",
            f"xxxx-{_number(rng, 4)}",
            f"{_number(rng, 3)}-{_number(rng, 2)}-{_number(rng, 4)}",
            f"DE{_number(rng, 20)}",
        )
    )


def domain(rng: Random) -> str:
    """A host name."""
    word = rng.choice(words("noun"))
    return rng.choice(
        (
            f"{word}.com",
            f"{word}-{rng.choice(words('noun'))}.io",
            "example.com",
            "example.org",
            "gmail.com",
            f"mail.{word}.net",
            f"{word}.co.uk",
            f"{word}.internal",
            f"api.{word}.dev",
            "outlook.com",
            "yahoo.com",
        )
    )


def url(rng: Random) -> str:
    """A web address."""
    noun, other = rng.choice(words("noun")), rng.choice(words("noun"))
    return rng.choice(
        (
            f"https://{domain(rng)}/{noun}/{other}",
            f"https://{domain(rng)}/{noun}?id={_number(rng, 5)}&page=2",
            f"http://{domain(rng)}",
            f"www.{domain(rng)}",
            f"https://api.{domain(rng)}/v1/{noun}s/{uuid(rng)}",
            f"s3://{noun}-{other}/{date(rng).replace(' ', '')}/",
        )
    )


def path(rng: Random) -> str:
    """A path of a file."""
    folder, name = rng.choice(words("noun")), snake(rng)
    return rng.choice(
        (
            f"/var/log/{folder}/{name}.log",
            f"/usr/lib/python3.11/site-packages/{folder}/{name}.py",
            f"src/{folder}/{name}.ts",
            f"./{name}.yaml",
            f"C:\\Program Files\\{folder.title()}\\{name}.exe",
            f"{folder}/tests/test_{name}.py",
            f"/etc/{folder}.conf",
            f"~/.config/{folder}/{name}.toml",
        )
    )


def file(rng: Random) -> str:
    """A file name."""
    stem = rng.choice((snake(rng), camel(rng), rng.choice(words("noun")).title(), rng.choice(words("noun"))))
    return f"{stem}.{rng.choice(_SUFFIXES)}"


def snake(rng: Random) -> str:
    """An identifier with underscores."""
    chance = rng.random()
    if chance < 0.3:
        return rng.choice(words("verb_noun")).replace(" ", "_")
    if chance < 0.6:
        return f"{rng.choice(words('verb'))}_{rng.choice(words('noun'))}"
    made = (
        f"{english.verb(rng)}_{english.noun(rng)}",
        f"{english.noun(rng)}_{english.noun(rng)}",
        english.noun(rng),
    )
    return rng.choice(made)


def camel(rng: Random) -> str:
    """An identifier in camel case."""
    made = snake(rng).title().replace("_", "")
    return made if rng.random() < 0.5 else made[0].lower() + made[1:]


def klass(rng: Random) -> str:
    """A class name."""
    ends = (
        "Manager",
        "Service",
        "Error",
        "Handler",
        "Factory",
        "Client",
        "Controller",
        "Repository",
        "Test",
        "Config",
        "View",
        "Exception",
        "Adapter",
    )
    return rng.choice((rng.choice(words("noun")), english.noun(rng))).title() + rng.choice(ends)


def constant(rng: Random) -> str:
    """An identifier in capitals."""
    return snake(rng).upper()


def version(rng: Random) -> str:
    """A version."""
    return rng.choice(("v", "", "")) + f"{rng.randrange(12)}.{rng.randrange(30)}.{rng.randrange(20)}"


def ip(rng: Random) -> str:
    """An IP address."""
    return ".".join(str(rng.randrange(1, 255)) for _ in range(4))


def slug(rng: Random) -> str:
    """Words joined by hyphens or underscores."""
    joint = rng.choice("-_.")
    return joint.join(
        rng.choice((rng.choice(words("noun")), english.any_word(rng))) for _ in range(rng.randrange(2, 4))
    )


MAKERS: dict[str, Callable[[Random], str]] = {
    "id": record_id,
    "booking": booking,
    "flight": flight,
    "uuid": uuid,
    "hex": hexadecimal,
    "token": token,
    "date": date,
    "time": time,
    "timestamp": timestamp,
    "amount": amount,
    "int": integer,
    "float": decimal,
    "percent": percent,
    "phone": phone,
    "card": card,
    "domain": domain,
    "url": url,
    "path": path,
    "file": file,
    "snake": snake,
    "camel": camel,
    "class": klass,
    "constant": constant,
    "version": version,
    "ip": ip,
    "slug": slug,
}
