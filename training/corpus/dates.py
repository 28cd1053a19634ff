"""Dates and times in the formats of prose, forms and logs."""

from collections.abc import Callable
from random import Random

from training.corpus.codes import digits
from training.corpus.lists import words


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
            digits(rng, 10),
            digits(rng, 13),
        )
    )


MAKERS: dict[str, Callable[[Random], str]] = {
    "date": date,
    "time": time,
    "timestamp": timestamp,
}
