"""The evaluation's generator: forms × locales, with held-out values and wording of its own only.

Every labelled value comes from the held-out split of the pools, the templates from form_templates.py, which
training never reads.
"""

from collections.abc import Iterator
from functools import cache
from random import Random

from training.corpus import form_templates
from training.corpus.scene import Scene
from training.corpus.template import joined, pieces, slots

FORMS = ("prose", "json", "csv", "sql", "kwargs", "log", "lower", "upper")
LOCALES = (
    "en_US",
    "en_GB",
    "de_DE",
    "fr_FR",
    "es_ES",
    "it_IT",
    "pt_BR",
    "nl_NL",
    "pl_PL",
    "sv_SE",
    "tr_TR",
    "en_IN",
)
# Reported apart: their names are in their own script, and no street addresses are drawn for them.
NATIVE_LOCALES = ("ru_RU", "ja_JP", "zh_CN", "ar_SA", "he_IL", "hi_IN")

_LOCAL_SHARE = 0.3
_ADDRESS_SLOTS = frozenset({"address", "address_line", "address_lines", "street"})
TEMPLATES = {
    "prose": form_templates.PROSE,
    "json": form_templates.JSON,
    "csv": form_templates.CSV,
    "sql": form_templates.SQL,
    "kwargs": form_templates.KWARGS,
    "log": form_templates.LOG,
    "lower": form_templates.LOWER,
    "upper": form_templates.UPPER,
}

Labelled = tuple[str, list[tuple[int, int, str]]]


def texts(form: str, locale: str, count: int, seed: int = 0) -> Iterator[Labelled]:
    """`count` texts of a form and a locale, as (text, [(start, end, kind)]).

    Kinds are PERSON, ADDRESS, PLACE and ORG; offsets count characters. KeyError for an unknown form.
    """
    known = _usable(form, locale)
    local = form_templates.LOCAL_PROSE.get(locale, ()) if form == "prose" else ()
    for number in range(count):
        rng = Random(f"forms:{seed}:{form}:{locale}:{number}")  # noqa: S311
        template = rng.choice(local if local and rng.random() < _LOCAL_SHARE else known)
        yield _rendered(rng, form, locale, template)


def _rendered(rng: Random, form: str, locale: str, template: str) -> Labelled:
    made = pieces(template, Scene(rng, "held_out", locale).fill, rng.choice)
    if form == "lower":
        made = [(text.lower(), label) for text, label in made]
    elif form == "upper":
        made = [(text.upper(), label) for text, label in made]
    text, spans, _ = joined(made)
    return text, spans


@cache
def _usable(form: str, locale: str) -> tuple[str, ...]:
    templates = TEMPLATES[form]
    if locale not in NATIVE_LOCALES:
        return templates
    return tuple(template for template in templates if not _ADDRESS_SLOTS & set(slots(template)))
