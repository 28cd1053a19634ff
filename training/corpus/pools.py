"""Pools of values by kind and locale, split into what is trained on and what is held out.

One value in eight is held out by a hash of its casefolded form without accents, so that a value is on one
side in every pool. Values that everybody knows (large cities, countries, states, nationalities, the most
frequent American names) are never held out: the shipped gazetteer must know them, and held-out values are
then the rarer, harder ones.
"""

from collections.abc import Callable
from functools import cache

from training.corpus import faker_values, geography
from training.corpus.lists import kinds, words
from training.corpus.split import Split, folded, in_split

_HEAD_NAMES = 150

# Names that Faker does not have or has few of: (first names, last names) of our own lists.
_OWN_LOCALES = {
    "zh_CN@latin": ("pinyin_first", "pinyin_last"),
    "ko_KR@latin": ("hangul_latin_first", "hangul_latin_last"),
    "ru_RU@latin": ("cyrillic_latin_first", "cyrillic_latin_last"),
    "ar_AA@latin": ("arabic_latin_first", "arabic_latin_last"),
    "tr_TR": ("turkish_first", "turkish_last"),
}


@cache
def locales() -> tuple[str, ...]:
    """Every locale with names; `@latin` marks transliterated names."""
    return tuple(sorted({*faker_values.person_locales(), *_OWN_LOCALES}))


@cache
def pool(kind: str, locale: str | None = None, split: Split = "train") -> tuple[str, ...]:
    """Values of a kind, of one locale or of all; KeyError for an unknown kind.

    Kinds: first_name, last_name, middle_name, name_word, nickname, city, country, state, region, nationality,
    street_core, organization, and every section of `lists/*.txt`.
    """
    known = _always_train()
    return tuple(value for value in _values(kind, locale) if in_split(value, split, known))


def _values(kind: str, locale: str | None) -> tuple[str, ...]:
    if kind in _BY_LOCALE:
        return _BY_LOCALE[kind](locale)
    if kind in kinds():
        return words(kind)
    raise KeyError(kind)


@cache
def _first_names(locale: str | None) -> tuple[str, ...]:
    return _names(locale, faker_values.first_names, 0)


@cache
def _last_names(locale: str | None) -> tuple[str, ...]:
    return _names(locale, faker_values.last_names, 1)


def _names(locale: str | None, of: Callable[[str], tuple[str, ...]], column: int) -> tuple[str, ...]:
    if locale is None:
        return tuple(sorted({value for name in locales() for value in _names(name, of, column)}))
    own = words(_OWN_LOCALES[locale][column]) if locale in _OWN_LOCALES else ()
    faker = of(locale) if locale in faker_values.person_locales() else ()
    return tuple(sorted({*own, *faker}))


def _middle_names(locale: str | None) -> tuple[str, ...]:
    if locale is None:
        return tuple(
            sorted({value for name in faker_values.person_locales() for value in _middle_names(name)})
        )
    return faker_values.middle_names(locale)


def _cities(locale: str | None) -> tuple[str, ...]:
    if locale is None:
        return geography.cities()
    return geography.native_cities(locale) or geography.cities(geography.COUNTRY_OF.get(locale, locale[-2:]))


def _nationalities(_: str | None) -> tuple[str, ...]:
    return (*words("demonym"), *words("religion"), *words("political"))


def _organizations(_: str | None) -> tuple[str, ...]:
    """Real companies and airlines, and made-up ones of two words."""
    made_up = (f"{word} {field}" for word in words("org_word") for field in words("org_field"))
    return (*words("vendor"), *words("airline"), *made_up)


_BY_LOCALE: dict[str, Callable[[str | None], tuple[str, ...]]] = {
    "first_name": _first_names,
    "last_name": _last_names,
    "middle_name": _middle_names,
    "city": _cities,
    "country": lambda _: geography.countries(),
    "state": geography.states,
    "nationality": _nationalities,
    "organization": _organizations,
}


@cache
def _always_train() -> frozenset[str]:
    head = [
        *faker_values.frequent("en_US", "first_names", _HEAD_NAMES),
        *faker_values.frequent("en_US", "last_names", _HEAD_NAMES),
        *geography.large_cities(),
        *geography.countries(),
        *geography.states(),
        *_nationalities(None),
        *words("nickname"),
        *words("name_word"),
        *words("region"),
        *words("title"),
        *words("particle"),
        *words("suffix"),
        *words("noun"),
        *words("adjective"),
        *words("verb"),
        *words("month"),
        *words("weekday"),
        *words("airport_code"),
        *words("status"),
    ]
    return frozenset(folded(value) for value in head)


@cache
def held_out_values() -> frozenset[str]:
    """Held-out names and cities, folded."""
    found = (value for kind in ("first_name", "last_name", "city") for value in pool(kind, None, "held_out"))
    return frozenset(folded(value) for value in found)
