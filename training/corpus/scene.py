"""One sample's cast: its locale, its people, and the slots that templates and records ask for."""

from collections.abc import Callable
from functools import cache
from random import Random

from training.corpus import (
    addresses,
    codes,
    dates,
    english,
    identifiers,
    organizations,
    people,
    places,
    wordings,
)
from training.corpus.faker_values import foreign_words
from training.corpus.lists import kinds, words
from training.corpus.locale_shares import draw_locale
from training.corpus.people import Person
from training.corpus.pools import pool
from training.corpus.split import Split
from training.corpus.template import IGNORE, Piece, TemplateError

# The share of people whose names are all made up, and of made-up names among the others: values that no list
# holds have to be told by their context and spelling.
_INVENTED = 0.25
_INVENTED_PART = 0.1


class Scene:
    """The values of one sample. People and things with a number are the same wherever they come up again."""

    def __init__(
        self, rng: Random, split: Split = "train", locale: str | None = None, is_empty: bool = False
    ) -> None:
        """An empty scene has things where its people would be."""
        self.rng = rng
        self.is_empty = is_empty
        self.split: Split = split
        self.fixed_locale = locale
        self.locale = locale or draw_locale(rng)
        self._people: dict[str, Person] = {}
        self._things: dict[tuple[str, str], list[Piece]] = {}

    def person(self, number: str = "") -> Person:
        """The person of that number; a new one without."""
        if not number:
            return people.draw(self.rng, self._person_locale(), self.split, self.invent())
        if number not in self._people:
            self._people[number] = people.draw(self.rng, self._person_locale(), self.split, self.invent())
        return self._people[number]

    def fill(self, kind: str, number: str = "") -> list[Piece]:
        """The pieces of one slot; TemplateError for a kind that does not exist."""
        if kind in _PERSON_SLOTS:
            return _thing(self) if self.is_empty else _PERSON_SLOTS[kind](self, self.person(number))
        if number and (kind, number) in self._things:
            return self._things[kind, number]
        made = self._fill_thing(kind)
        if number:
            self._things[kind, number] = made
        return made

    def _fill_thing(self, kind: str) -> list[Piece]:
        if kind in _THING_SLOTS:
            return _THING_SLOTS[kind](self)
        if kind in _PLAIN_SLOTS:
            return [(_PLAIN_SLOTS[kind](self.rng), "")]
        if kind in kinds():
            return [(self.rng.choice(words(kind)), _LABEL_OF_LIST.get(kind, ""))]
        raise TemplateError(f"no slot named {kind!r}; see training/corpus/scene.py and lists/*.txt")

    def address_locale(self) -> str:
        """A locale with an address format, the sample's own where it has one."""
        if self.locale in addresses.locales() and self.rng.random() < 0.9:
            return self.locale
        return "en_US" if self.rng.random() < 0.4 else self.rng.choice(addresses.locales())

    def _person_locale(self) -> str:
        return self.locale if self.fixed_locale or self.rng.random() < 0.8 else draw_locale(self.rng)

    def invent(self) -> float:
        """The probability that a person's names are made up, drawn anew for each; 0 in the evaluation."""
        if self.split != "train" or self.fixed_locale:
            return 0.0
        return 1.0 if self.rng.random() < _INVENTED else _INVENTED_PART


_PLAIN_SLOTS = {**codes.MAKERS, **dates.MAKERS, **identifiers.MAKERS, **wordings.MAKERS}
_LABEL_OF_LIST = {
    "demonym": "NRP",
    "religion": "NRP",
    "political": "NRP",
    "vendor": "ORG",
    "airline": "ORG",
    "region": "PLACE",
    "language": IGNORE,
    "nickname": "PERSON",
    "name_word": "PERSON",
}


def _thing(scene: Scene) -> list[Piece]:
    """What may stand where people do, without being one."""
    rng = scene.rng
    noun, adjective = wordings.wide_noun(rng), wordings.wide_adjective(rng)
    plural = rng.choice(english.vocabulary().plurals)
    chance = rng.random()
    if chance < 0.18:
        return scene.fill(rng.choice(("org", "software", "title_case", "product", "department", "job")))
    made = (
        f"the {noun}",
        f"the {noun}",
        f"a {adjective} {noun}",
        plural,
        plural,
        noun,
        f"{adjective} {plural}",
    )
    text = rng.choice((*made, noun.capitalize(), plural.capitalize(), "them", "it", "someone", "everyone"))
    return [(text, "")]


def _titled(scene: Scene, person: Person) -> list[Piece]:
    title = scene.rng.choice(words("title")[:14] if scene.rng.random() < 0.7 else words("title"))
    name = person.last if scene.rng.random() < 0.6 else person.full
    return [(f"{title} ", ""), (name, "PERSON")]


def _any_person(scene: Scene, person: Person) -> list[Piece]:
    """A person as prose has one: mostly the full name, else one of its other forms."""
    chance = scene.rng.random()
    if chance < 0.12:
        return [(person.first, "PERSON")]
    if chance < 0.18:
        return _titled(scene, person)
    return [(people.full_form(scene.rng, person, scene.split), "PERSON")]


def _handle(scene: Scene, person: Person) -> list[Piece]:
    stem, number = people.handle(scene.rng, person)
    return [(stem, "PERSON"), (number, "")]


def _email(scene: Scene, person: Person) -> list[Piece]:
    local = (
        people.handle(scene.rng, person)[0].replace("_", ".")
        if person.is_latin
        else f"user{scene.rng.randrange(99)}"
    )
    number = scene.rng.choice(("", "", str(scene.rng.randrange(99))))
    return [(f"{local}{number}@{identifiers.domain(scene.rng)}", IGNORE)]


def _initials(_: Scene, person: Person) -> list[Piece]:
    return [(f"{person.first[0]}.{person.last[0]}.", IGNORE)]


def _last_first(_: Scene, person: Person) -> list[Piece]:
    return [(f"{person.last}, {person.first}", "PERSON")]


def _initial_last(_: Scene, person: Person) -> list[Piece]:
    return [(f"{person.first[0]}. {person.last}", "PERSON")]


def _all_initials(scene: Scene, person: Person) -> str:
    """One to three initials as citations have them."""
    more = (person.middle[0], scene.person().first[0])[: scene.rng.choice((0, 1, 1, 2))]
    letters = [person.first[0], *more]
    return scene.rng.choice((".", ". ", ".-", "")).join(letters) + scene.rng.choice((".", ".", ""))


def _initials_last(scene: Scene, person: Person) -> list[Piece]:
    return [(f"{_all_initials(scene, person)} {person.last}", "PERSON")]


def _last_initials(scene: Scene, person: Person) -> list[Piece]:
    return [(f"{person.last}{scene.rng.choice((', ', ', ', ' '))}{_all_initials(scene, person)}", "PERSON")]


def _login(scene: Scene, person: Person) -> list[Piece]:
    """A login such as jsmith: too close to a word to be asked for, too close to a name to be forbidden."""
    first, last = people.plain(person.first).lower(), people.plain(person.last).lower()
    return [(scene.rng.choice((first[:1] + last, first + last[:1], last[:6] + first[:1], first)), IGNORE)]


_PERSON_SLOTS: dict[str, Callable[[Scene, Person], list[Piece]]] = {
    "person": _any_person,
    "full": lambda _, person: [(person.full, "PERSON")],
    "full_form": lambda scene, person: [(people.full_form(scene.rng, person, scene.split), "PERSON")],
    "first": lambda _, person: [(person.first, "PERSON")],
    "last": lambda _, person: [(person.last, "PERSON")],
    "middle": lambda _, person: [(person.middle, "PERSON")],
    "nick": lambda _, person: [(person.nick, "PERSON")],
    "titled": _titled,
    "last_first": _last_first,
    "initial_last": _initial_last,
    "initials_last": _initials_last,
    "last_initials": _last_initials,
    "initial": lambda _, person: [(person.first[0], IGNORE)],
    "handle": _handle,
    "login": _login,
    "email": _email,
    "initials": _initials,
    "upper_full": lambda _, person: [(person.full.upper(), "PERSON")],
    "upper_last": lambda _, person: [(person.last.upper(), "PERSON")],
    "lower_full": lambda _, person: [(person.full.lower(), "PERSON")],
    "lower_first": lambda _, person: [(person.first.lower(), "PERSON")],
}


def _address(maker: Callable[[Random, str, Split], str]) -> Callable[[Scene], list[Piece]]:
    return lambda scene: [(maker(scene.rng, scene.address_locale(), scene.split), "ADDRESS")]


def _any_address(scene: Scene) -> list[Piece]:
    maker = scene.rng.choices(
        (addresses.one_line, addresses.street_line, addresses.several_lines), (60, 25, 15)
    )[0]
    return [(maker(scene.rng, scene.address_locale(), scene.split), "ADDRESS")]


def _city(scene: Scene, maker: Callable[[Random, str, Split], str] = places.city) -> str:
    """A city, or a made-up one where training makes values up."""
    if scene.rng.random() < scene.invent() / 2:
        return people.invented(scene.rng, pool("city", scene.locale) or pool("city", "en_US"))
    return maker(scene.rng, scene.locale, scene.split)


def _foreign(scene: Scene) -> str:
    """Some words of the scene's language, or of any that has a list."""
    table = foreign_words(scene.locale) or foreign_words(
        scene.rng.choice(("de_DE", "fr_FR", "it_IT", "nl_NL", "pl_PL"))
    )
    return " ".join(scene.rng.choice(table) for _ in range(scene.rng.randrange(1, 6)))


_THING_SLOTS: dict[str, Callable[[Scene], list[Piece]]] = {
    "address": _any_address,
    "address_line": _address(addresses.one_line),
    "address_lines": _address(addresses.several_lines),
    "street": _address(addresses.street_line),
    "unit": lambda scene: [
        (addresses.parts(scene.rng, scene.address_locale(), scene.split)[1] or "Apt 4B", "ADDRESS")
    ],
    "postcode": lambda scene: [(addresses.code(scene.rng, scene.address_locale()), IGNORE)],
    "place": lambda scene: [(_city(scene, places.any_place), "PLACE")],
    "city": lambda scene: [(_city(scene), "PLACE")],
    "country": lambda scene: [(places.country(scene.rng), "PLACE")],
    "state": lambda scene: [(places.state(scene.rng, scene.locale), "PLACE")],
    "state_code": lambda scene: [(places.state_code(scene.rng, scene.locale), "PLACE")],
    "country_code": lambda scene: [(places.country_code(scene.rng), IGNORE)],
    "city_state": lambda scene: places.city_state(scene.rng, scene.split),
    "nrp": lambda scene: [(places.nationality(scene.rng), "NRP")],
    "org": lambda scene: [(organizations.organization(scene.rng, scene.locale, scene.split), "ORG")],
    "person_org": lambda scene: [
        (organizations.person_organization(scene.rng, scene.locale, scene.split), "ORG")
    ],
    "city_org": lambda scene: [
        (organizations.city_organization(scene.rng, scene.locale, scene.split), "ORG")
    ],
    "venue": lambda scene: [(places.venue(scene.rng, scene.locale, scene.split), "")],
    "airport": lambda scene: [(places.airport(scene.rng, scene.locale, scene.split), "")],
    "product": lambda scene: [(organizations.product(scene.rng), "")],
    "brand": lambda scene: [(organizations.brand(scene.rng), "")],
    "title_case": lambda scene: [(places.title_case(scene.rng), "")],
    "foreign": lambda scene: [(_foreign(scene), "")],
    "street_word": lambda scene: [(f"{scene.rng.choice(words('street_core'))} Street", IGNORE)],
}


@cache
def slot_kinds() -> frozenset[str]:
    """Every kind that a template may ask for."""
    return frozenset({*_PERSON_SLOTS, *_THING_SLOTS, *_PLAIN_SLOTS, *kinds()})
