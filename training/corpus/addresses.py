"""Addresses in the formats of many countries."""

from random import Random

from training.corpus import geography
from training.corpus.address_formats import FORMATS, AddressFormat
from training.corpus.lists import words
from training.corpus.pools import pool
from training.corpus.split import Split, in_split

_ENGLISH = ("en_US", "en_GB", "en_CA", "en_AU", "en_NZ", "en_IE")
_LETTERS = "ABCDEFGHJKLMNPRSTVWXYZ"


def locales() -> tuple[str, ...]:
    """The locales with an address format."""
    return tuple(FORMATS)


def street_line(rng: Random, locale: str, split: Split) -> str:
    """Street and house number, or a box."""
    form = FORMATS[locale]
    line = _one_of(rng, form.line).replace("{street}", _one_of(rng, form.street))
    while "{core}" in line:
        line = line.replace("{core}", _core(rng, locale, form, split), 1)
    return digits(rng, line.replace("{n}", _house(rng, locale)), _unit(rng))


def parts(rng: Random, locale: str, split: Split) -> tuple[str, str, str, str]:
    """(street line, unit or "", locality with code, country or "")."""
    form = FORMATS[locale]
    unit = ""
    if rng.random() < 0.3:
        unit = digits(
            rng, _one_of(rng, form.units).replace("{core}", _core(rng, locale, form, split)), _unit(rng)
        )
    country = _one_of(rng, form.country) if rng.random() < 0.3 else ""
    return street_line(rng, locale, split), unit, _locality(rng, locale, form, split), country


def one_line(rng: Random, locale: str, split: Split) -> str:
    """A whole address on one line."""
    street, unit, locality, country = parts(rng, locale, split)
    joint = rng.choices((", ", " ", "; ", " - "), (80, 12, 4, 4))[0]
    head = f"{street}{rng.choice((', ', ' ', ', '))}{unit}" if unit else street
    return joint.join(part for part in (head, locality, country) if part)


def several_lines(rng: Random, locale: str, split: Split) -> str:
    """A whole address on two to four lines."""
    street, unit, locality, country = parts(rng, locale, split)
    joint = rng.choices(("\n", ",\n", "\r\n"), (85, 12, 3))[0]
    if unit and rng.random() < 0.6:
        street, unit = f"{street}, {unit}", ""
    return joint.join(part for part in (street, unit, locality, country) if part)


def code(rng: Random, locale: str) -> str:
    """A postal code."""
    return digits(rng, _one_of(rng, FORMATS[locale].zip), "")


def _locality(rng: Random, locale: str, form: AddressFormat, split: Split) -> str:
    city = rng.choice(pool("city", locale, split) or pool("city", None, split))
    states = geography.states(locale) or geography.states("en_US")
    codes = geography.state_codes(locale) or geography.state_codes("en_US")
    pattern = _one_of(rng, form.locality)
    pattern = (
        pattern.replace("{city}", city)
        .replace("{state}", rng.choice(states))
        .replace("{st}", rng.choice(codes))
    )
    return digits(rng, pattern.replace("{zip}", code(rng, locale)), "")


def _core(rng: Random, locale: str, form: AddressFormat, split: Split) -> str:
    """What a street is named after: nature and heroes (our lists), or a family name."""
    own = words("street_core") if locale in _ENGLISH else tuple(form.cores.split(", ")) if form.cores else ()
    values = tuple(value for value in own if in_split(value, split))
    if values and rng.random() < 0.5:
        return rng.choice(values)
    return rng.choice(pool("last_name", locale, split) or pool("last_name", "en_US", split))


def _house(rng: Random, locale: str) -> str:
    if locale in ("en_US", "en_CA"):
        return str(rng.choice((rng.randrange(1, 400), rng.randrange(100, 10_000), rng.randrange(1, 99_999))))
    return str(rng.choice((rng.randrange(1, 40), rng.randrange(1, 200), rng.randrange(1, 2000))))


def _unit(rng: Random) -> str:
    number = rng.choice((rng.randrange(1, 30), rng.randrange(100, 999)))
    return rng.choice((str(number), str(number), f"{number}{rng.choice('ABCD')}", rng.choice("ABCDEF")))


def digits(rng: Random, pattern: str, unit: str) -> str:
    """Fill `#` with digits (no leading zero), `@` with letters, `{u}` with the unit; `№` becomes `#`."""
    made: list[str] = []
    for char in pattern:
        if char == "@":
            made.append(rng.choice(_LETTERS))
        elif char != "#":
            made.append(char)
        else:
            starts = not made or not made[-1].isdigit()
            made.append(rng.choice("123456789" if starts else "0123456789"))
    return "".join(made).replace("{u}", unit).replace("№", "#")


def _one_of(rng: Random, alternatives: str) -> str:
    return rng.choice(alternatives.split("|"))
