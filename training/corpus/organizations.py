"""Companies, institutions, brands and products: real, made up, named after people, places or nations."""

from random import Random

from training.corpus.lists import words
from training.corpus.places import FREQUENT_GROUPS, city, country, state
from training.corpus.pools import pool
from training.corpus.split import Split

_SYLLABLES = [
    "va",
    "lo",
    "ri",
    "ten",
    "qua",
    "zo",
    "mi",
    "ka",
    "nu",
    "bel",
    "cor",
    "dex",
    "fin",
    "gal",
    "hyp",
    "ix",
    "jo",
    "lum",
    "mar",
    "nex",
    "o",
    "pli",
    "rel",
    "syn",
    "tor",
    "ul",
    "vex",
    "wi",
    "xen",
    "yo",
    "zu",
    "sta",
    "bri",
    "cla",
    "dro",
    "fle",
    "gri",
    "pro",
    "tri",
]
_BRAND_ENDS = (
    "ify",
    "ly",
    "io",
    "a",
    "ex",
    "on",
    "ium",
    "ware",
    "soft",
    "hub",
    "base",
    "flow",
    "desk",
    "works",
    "os",
    "pay",
)
_OF_A_PLACE = (
    "University",
    "State University",
    "University Press",
    "Institute of Technology",
    "School of Economics",
    "National Laboratory",
    "Consulting",
    "Scientific",
    "Herald",
    "Times",
    "Bank",
    "Tigers",
    "City Council",
    "Medical Center",
    "Airlines",
    "Public Library",
    "Stock Exchange",
    "Chamber of Commerce",
    "Philharmonic",
    "Art Museum",
    "Marathon",
)
_BEFORE_A_PLACE = (
    "Bank of",
    "University of",
    "University of",
    "Technical University of",
    "Free University of",
    "Regents of the University of",
    "Museum of",
    "Port of",
    "Church of",
    "Radio",
    "FC",
)
_OF_A_PEOPLE = (
    "Society",
    "Association",
    "Academy",
    "Institute",
    "Red Cross",
    "Airlines",
    "Railways",
    "Bank",
    "Physical Society",
    "Mathematical Society",
    "Chemical Society",
    "Medical Association",
    "Library Association",
    "National Standards Institute",
    "Academy of Sciences",
    "Heart Association",
    "Broadcasting Corporation",
    "Football Federation",
    "Space Agency",
)
_FIELDS = (
    "Science",
    "Sciences",
    "Physics",
    "Statistics",
    "Medicine",
    "Surgeons",
    "Engineers",
    "Biology",
    "Letters",
)


def organization(rng: Random, locale: str, split: Split) -> str:
    """A company: real, made up, named after its founders or after a place."""
    chance = rng.random()
    if chance < 0.3:
        return rng.choice(words("vendor"))
    if chance < 0.6:
        made = f"{rng.choice(words('org_word'))} {rng.choice(words('org_field'))}"
        return f"{made} {rng.choice(words('org_suffix'))}" if rng.random() < 0.35 else made
    if chance < 0.7:
        return f"{brand(rng)} {rng.choice((*words('org_suffix'), *words('org_field')))}"
    if chance < 0.78:
        return brand(rng)
    return person_organization(rng, locale, split) if chance < 0.9 else city_organization(rng, locale, split)


def person_organization(rng: Random, locale: str, split: Split) -> str:
    """A company named after people, as law firms, banks and shops are."""
    last = pool("last_name", locale, split) or pool("last_name", "en_US", split)
    one, other, third = rng.choice(last), rng.choice(last), rng.choice(last)
    return rng.choice(
        (
            f"{one} & {other}",
            f"{one}, {other} & {third} LLP",
            f"{one} {rng.choice(words('org_suffix'))}",
            f"{one} {rng.choice(words('org_field'))}",
            f"{one}-{other} {rng.choice(words('org_suffix'))}",
            f"{one} and Sons",
            f"{one} Brothers",
        )
    )


def city_organization(rng: Random, locale: str, split: Split) -> str:
    """A company or an institution named after a place or a people."""
    chance = rng.random()
    if chance < 0.3:
        return _institution_of_a_people(rng)
    name = city(rng, locale, split)
    if chance < 0.55:
        name = rng.choice((state(rng, locale), country(rng), rng.choice(words("region"))))
    ends = (*_OF_A_PLACE, *words("org_field"))
    return rng.choice(
        (
            f"{name} {rng.choice(ends)}",
            f"{name} {rng.choice(ends)}",
            f"{rng.choice(_BEFORE_A_PLACE)} {name}",
            f"{rng.choice(_BEFORE_A_PLACE)} {name}",
            f"First {name} Insurance",
        )
    )


def _institution_of_a_people(rng: Random) -> str:
    people = rng.choice(words("demonym")[:FREQUENT_GROUPS])
    return rng.choice(
        (
            f"{people} {rng.choice(_OF_A_PEOPLE)}",
            f"Royal {people} {rng.choice(_OF_A_PEOPLE)}",
            f"{people} {rng.choice(_OF_A_PEOPLE)} of {rng.choice(_FIELDS)}",
            f"{people} Journal of {rng.choice(_FIELDS)}",
        )
    )


def brand(rng: Random) -> str:
    """A made-up brand."""
    stem = "".join(rng.choice(_SYLLABLES) for _ in range(rng.choice((1, 2, 2, 3))))
    made = stem + rng.choice(_BRAND_ENDS) if rng.random() < 0.6 else stem + rng.choice(_SYLLABLES)
    chance = rng.random()
    if chance < 0.15:
        return made.upper()
    cut = len(stem)
    return made[:cut].capitalize() + made[cut:].capitalize() if chance < 0.3 else made.capitalize()


def product(rng: Random) -> str:
    """A thing for sale, in Title Case."""
    noun = rng.choice(words("product_noun"))
    chance = rng.random()
    if chance < 0.3:
        return noun
    if chance < 0.6:
        return f"{rng.choice(words('product_adjective'))} {noun}"
    if chance < 0.8:
        return f"{brand(rng)} {rng.choice(words('product_material'))} {noun}"
    return f"{rng.choice(words('product_adjective'))} {rng.choice(words('product_material'))} {noun}"
