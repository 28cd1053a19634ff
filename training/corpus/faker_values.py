"""Values out of Faker's provider modules, read as tables (no Faker instance, no randomness)."""

import importlib
import pkgutil
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Any

import faker.providers.address
import faker.providers.lorem
import faker.providers.person

# Attributes of a person provider by kind; a locale has some of them.
_FIRST = (
    "first_names",
    "first_names_male",
    "first_names_female",
    "first_names_unisex",
    "first_names_male_est",
    "first_names_female_est",
)
_LAST = (
    "last_names",
    "last_names_male",
    "last_names_female",
    "unisex_last_names",
    "male_last_names",
    "last_names_without_suffix",
)
_MIDDLE = ("middle_names", "middle_names_male", "middle_names_female")
# Locales whose name tables are inherited from another language or hold too little to be themselves.
_NOT_ITS_OWN = {"es": (), "en_TH": ("first_names", "last_names")}
# Faker's base tables (John, Jane; Doe) stand where a locale has none of its own.
_PLACEHOLDER_ROWS = 2

ROMANIZED = ("ja_JP", "zh_CN", "zh_TW")


@cache
def person_locales() -> tuple[str, ...]:
    """All locales that Faker has person tables for, and `<locale>@latin` for the romanized ones."""
    path = faker.providers.person.__path__
    found = sorted(module.name for module in pkgutil.iter_modules(path) if module.ispkg)
    own = [locale for locale in found if locale not in _NOT_ITS_OWN or _NOT_ITS_OWN[locale]]
    return (*own, *(f"{locale}@latin" for locale in ROMANIZED))


@cache
def first_names(locale: str) -> tuple[str, ...]:
    """First names of a locale, sorted; `@latin` asks for the romanized ones."""
    return _names(locale, _FIRST, ("first_romanized_names",))


@cache
def last_names(locale: str) -> tuple[str, ...]:
    """Last names of a locale, sorted."""
    return _names(locale, _LAST, ("last_romanized_names",))


@cache
def middle_names(locale: str) -> tuple[str, ...]:
    """Middle names and patronymics of a locale, sorted; most locales have none."""
    return _names(locale, _MIDDLE, ())


@cache
def frequent(locale: str, attribute: str, count: int) -> tuple[str, ...]:
    """The most frequent values of a table with weights, most frequent first."""
    table = vars(importlib.import_module(f"faker.providers.person.{locale}").Provider)[attribute]
    return tuple(sorted(table, key=lambda value: (-table[value], value))[:count])


@cache
def address_values(locale: str, attribute: str) -> tuple[str, ...]:
    """One table of an address provider, sorted; rows that are tuples give their last text."""
    provider: Any = importlib.import_module(f"faker.providers.address.{locale}").Provider
    table: Any = getattr(provider, attribute)
    rows: Iterable[Any] = table.values() if isinstance(table, dict) else table
    texts = (row if isinstance(row, str) else str(row[-1]) for row in rows)
    return tuple(sorted({text.strip() for text in texts if text.strip()}))


@cache
def english_words() -> tuple[str, ...]:
    """Everyday English words in lower case, of at least three letters."""
    table: Any = importlib.import_module("faker.providers.lorem.en_US").Provider.word_list
    return tuple(sorted({word for word in table if word.islower() and len(word) > 2}))


@cache
def foreign_words(locale: str) -> tuple[str, ...]:
    """Everyday words of a locale's language; empty where Faker has none."""
    base = locale.partition("@")[0]
    if (
        base not in {module.name for module in pkgutil.iter_modules(faker.providers.lorem.__path__)}
        or base == "la"
    ):
        return ()
    table: Any = importlib.import_module(f"faker.providers.lorem.{base}").Provider.word_list
    return tuple(sorted(set(table)))


@cache
def jobs() -> tuple[str, ...]:
    """Job titles in English."""
    table: Any = importlib.import_module("faker.providers.job").Provider.jobs
    return tuple(sorted(table))


@cache
def catch_phrase_words() -> tuple[tuple[str, ...], ...]:
    """The three parts of a company's catch phrase: adjective, adjective, noun."""
    table: Any = importlib.import_module("faker.providers.company").Provider.catch_phrase_words
    return tuple(tuple(sorted(part)) for part in table)


@cache
def currency_names() -> tuple[str, ...]:
    """Currencies by their names, many with a nationality in front."""
    table: Any = importlib.import_module("faker.providers.currency").Provider.currencies
    return tuple(sorted(name for _, name in table))


def is_latin(value: str) -> bool:
    """Whether every letter is Latin."""
    return all("LATIN" in unicodedata.name(char, "") for char in value if char.isalpha())


def _names(locale: str, attributes: tuple[str, ...], romanized: tuple[str, ...]) -> tuple[str, ...]:
    base, _, script = locale.partition("@")
    provider: Any = importlib.import_module(f"faker.providers.person.{base}").Provider
    own = {key for cls in provider.__mro__ if cls.__module__ != "faker.providers.person" for key in vars(cls)}
    values = {
        " ".join(str(value).split())
        for attribute in (romanized if script else attributes)
        if attribute in own
        for value in _table(provider, attribute)
    }
    return tuple(sorted(value for value in values if _is_name(value)))


def _table(provider: Any, attribute: str) -> tuple[str, ...]:
    table = getattr(provider, attribute)
    if isinstance(table, property) or len(table) <= _PLACEHOLDER_ROWS:
        return ()
    return tuple(table)


def _is_name(value: str) -> bool:
    if any(char.isdigit() for char in value):
        return False
    return len(value) > 1 or not value.isascii()
