"""Places, organisations, venues and products: one value at a time."""

from functools import cache
from random import Random

from training.corpus import english, geography
from training.corpus.faker_values import english_words
from training.corpus.lists import words
from training.corpus.pools import pool
from training.corpus.split import Split

FREQUENT_GROUPS = 60


def city(rng: Random, locale: str, split: Split) -> str:
    """A city of the locale's country, a large one of the world, or any."""
    chance = rng.random()
    if split == "train" and chance < 0.45:
        return rng.choice(_large())
    own = pool("city", locale, split)
    if chance < 0.8 and own:
        return rng.choice(own[:400])
    return rng.choice(pool("city", None, split))


@cache
def _large() -> tuple[str, ...]:
    return geography.large_cities()[:500]


def country(rng: Random) -> str:
    """A country, in English or its own short form."""
    return rng.choice(words("country_short") if rng.random() < 0.3 else geography.countries())


def state(rng: Random, locale: str) -> str:
    """A state's full name."""
    own = geography.states(locale) or geography.states("en_US")
    return rng.choice(geography.states("en_US") if rng.random() < 0.4 else own)


def state_code(rng: Random, locale: str) -> str:
    """A state's abbreviation."""
    return rng.choice(geography.state_codes(locale) or geography.state_codes("en_US"))


def country_code(rng: Random) -> str:
    """An ISO code of two letters."""
    return rng.choice(
        ("US", "GB", "DE", "FR", "ES", "IT", "NL", "PL", "SE", "TR", "IN", "BR", "CA", "AU", "MX", "JP", "CN")
    )


def city_state(rng: Random, split: Split) -> list[tuple[str, str]]:
    """An American city and its state, or a city and its country, as two places."""
    if rng.random() < 0.6:
        name = rng.choice(pool("city", "en_US", split))
        other = state_code(rng, "en_US") if rng.random() < 0.7 else rng.choice(geography.states("en_US"))
    else:
        name, other = city(rng, "en_GB", split), country(rng)
    return [(name, "PLACE"), (", ", ""), (other, "PLACE")]


def any_place(rng: Random, locale: str, split: Split) -> str:
    """A city, a country, a state or a region."""
    chance = rng.random()
    if split == "held_out" or chance < 0.62:
        return city(rng, locale, split)
    if chance < 0.8:
        return country(rng)
    return state(rng, locale) if chance < 0.9 else rng.choice(words("region"))


def nationality(rng: Random) -> str:
    """A nationality, half of the time one that is often met, now and then a religion or a party."""
    kind = rng.choices(("demonym", "religion", "political"), (75, 17, 8))[0]
    known = words(kind)
    return rng.choice(known[:FREQUENT_GROUPS] if rng.random() < 0.5 else known)


def venue(rng: Random, locale: str, split: Split) -> str:
    """A hotel, restaurant, hall or landmark, with or without a place or a person in its name."""
    chance = rng.random()
    if chance < 0.25:
        return rng.choice(words("venue_name"))
    if chance < 0.35:
        return rng.choice(words("landmark"))
    noun = rng.choice(words("venue_noun"))
    adjective = rng.choice(words("venue_adjective") if rng.random() < 0.7 else (_word(rng),)).title()
    if chance < 0.65:
        return rng.choice(("", "The ", "Hotel ", "the ")) + f"{adjective} {noun}"
    if chance < 0.8:
        return f"{rng.choice(words('venue_name')[:30])} {city(rng, locale, split)}"
    if chance < 0.9:
        return f"{city(rng, locale, split)} {noun}"
    return f"{rng.choice(pool('first_name', locale, split) or ('Anna',))}'s {noun}"


def airport(rng: Random, locale: str, split: Split) -> str:
    """An airport by its name."""
    if rng.random() < 0.5:
        return rng.choice(words("airport_name"))
    kind = rng.choice(
        ("International Airport", "Airport", "Intl", "Regional Airport", "Airport (Terminal 2)")
    )
    return f"{city(rng, locale, split)} {kind}"


def _word(rng: Random) -> str:
    return rng.choice(english_words()) if rng.random() < 0.5 else english.any_word(rng)


def title_case(rng: Random) -> str:
    """One to four ordinary words in Title Case, as in headings and labels."""
    chance = rng.random()
    if chance < 0.2:
        return rng.choice(words("heading"))
    if chance < 0.3:
        return rng.choice(words("verb_noun")).title()
    if chance < 0.55:
        return " ".join(_word(rng) for _ in range(rng.choice((1, 2, 2, 2, 3, 4)))).title()
    noun, other = rng.choice(words("noun")), rng.choice(words("noun"))
    made = (
        f"{rng.choice(words('adjective'))} {noun}",
        f"{noun} {other}",
        f"{rng.choice(words('verb'))} {noun}",
        f"{rng.choice(words('adjective'))} {noun} {other}",
        f"{english.adjective(rng)} {english.noun(rng)}",
    )
    return rng.choice(made).title()
