"""Ids, keys and numbers: values of letters and digits that are never personal names."""

from collections.abc import Callable
from random import Random

from training.corpus.lists import words

HEX = "0123456789abcdef"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ALNUM = UPPER + "0123456789"
BASE62 = UPPER + UPPER.lower() + "0123456789"


def run(rng: Random, alphabet: str, length: int) -> str:
    """So many characters of an alphabet."""
    return "".join(rng.choice(alphabet) for _ in range(length))


def digits(rng: Random, length: int) -> str:
    """A number of so many digits."""
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
            f"{kind}-{digits(rng, rng.randrange(3, 9))}",
            f"{kind}{digits(rng, rng.randrange(3, 7))}",
            f"#{rng.choice(UPPER)}{digits(rng, rng.randrange(5, 9))}",
            f"#{digits(rng, rng.randrange(4, 9))}",
            f"{word}_{digits(rng, 7)}",
            f"{word}-{run(rng, HEX, 8)}",
            f"{word[:4]}_{run(rng, BASE62, 20)}",
            run(rng, ALNUM, 6),
            digits(rng, 10),
        )
    )


def booking(rng: Random) -> str:
    """A booking code of six letters and digits."""
    return run(rng, ALNUM if rng.random() < 0.7 else UPPER, 6)


def flight(rng: Random) -> str:
    """A flight number."""
    return (
        rng.choice(("AA", "UA", "DL", "BA", "LH", "AF", "KL", "EK", "SQ", "TK", "W6", "FR", "U2", "6E", "AI"))
        + rng.choice(("", " ", "-", ""))
        + str(rng.randrange(1, 9999)).zfill(3)
    )


def uuid(rng: Random) -> str:
    """A UUID."""
    return "-".join(run(rng, HEX, length) for length in (8, 4, 4, 4, 12))


def hexadecimal(rng: Random) -> str:
    """A hash or a trace id."""
    return run(rng, HEX, rng.choice((7, 8, 16, 32, 40, 64)))


def token(rng: Random) -> str:
    """A key or a token."""
    return rng.choice(("sk-", "ghp_", "pk_live_", "eyJ", "call_", "toolu_", "AKIA", "")) + run(
        rng, BASE62, rng.randrange(16, 36)
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
            f"+1-{digits(rng, 3)}-{digits(rng, 3)}-{digits(rng, 4)}",
            f"({digits(rng, 3)}) {digits(rng, 3)}-{digits(rng, 4)}",
            f"+44 20 {digits(rng, 4)} {digits(rng, 4)}",
            f"+49 {digits(rng, 3)} {digits(rng, 7)}",
            f"0{digits(rng, 10)}",
            f"{digits(rng, 3)}.{digits(rng, 3)}.{digits(rng, 4)}",
        )
    )


def card(rng: Random) -> str:
    """A card or account number, whole or masked."""
    return rng.choice(
        (
            f"{digits(rng, 4)} {digits(rng, 4)} {digits(rng, 4)} {digits(rng, 4)}",
            digits(rng, 16),
            f"**** **** **** {digits(rng, 4)}",
            f"xxxx-{digits(rng, 4)}",
            f"{digits(rng, 3)}-{digits(rng, 2)}-{digits(rng, 4)}",
            f"DE{digits(rng, 20)}",
        )
    )


def version(rng: Random) -> str:
    """A version."""
    return rng.choice(("v", "", "")) + f"{rng.randrange(12)}.{rng.randrange(30)}.{rng.randrange(20)}"


def ip(rng: Random) -> str:
    """An IP address."""
    return ".".join(str(rng.randrange(1, 255)) for _ in range(4))


MAKERS: dict[str, Callable[[Random], str]] = {
    "id": record_id,
    "booking": booking,
    "flight": flight,
    "uuid": uuid,
    "hex": hexadecimal,
    "token": token,
    "amount": amount,
    "int": integer,
    "float": decimal,
    "percent": percent,
    "phone": phone,
    "card": card,
    "version": version,
    "ip": ip,
}
