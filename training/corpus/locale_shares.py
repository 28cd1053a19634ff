"""How often each locale's names occur in the corpus."""

from functools import cache
from random import Random

from training.corpus.faker_values import is_latin
from training.corpus.pools import locales, pool

# Locales that traces are full of get more than an equal share.
_FREQUENT = {
    "en_US": 34,
    "en_GB": 7,
    "en_IN": 6,
    "es_ES": 3,
    "de_DE": 3,
    "fr_FR": 3,
    "it_IT": 3,
    "en": 4,
    "es_MX": 3,
    "pt_BR": 3,
}
_FREQUENT_LATIN = {
    "zh_CN@latin": 4,
    "ko_KR@latin": 2,
    "ru_RU@latin": 2,
    "ar_AA@latin": 3,
    "nl_NL": 2,
    "pl_PL": 2,
    "sv_SE": 2,
    "tr_TR": 2,
}
_NATIVE_SHARE = 0.35


@cache
def _locale_weights() -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Every locale with its weight: as given for some, 1 for the others, less for native scripts."""
    names = locales()
    given = {**_FREQUENT, **_FREQUENT_LATIN}
    weights = [given.get(name, _NATIVE_SHARE if _is_native(name) else 1.0) for name in names]
    return names, tuple(weights)


@cache
def _is_native(locale: str) -> bool:
    return not is_latin(pool("first_name", locale)[0])


def draw_locale(rng: Random) -> str:
    """A locale by its share."""
    names, weights = _locale_weights()
    return rng.choices(names, weights)[0]
