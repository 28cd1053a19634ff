"""A person and the ways to write one."""

from dataclasses import dataclass
from random import Random

from training.corpus.faker_values import frequent, is_latin
from training.corpus.lists import words
from training.corpus.pools import pool
from training.corpus.split import Split

# Scripts without a space between family and given name, family first.
_FAMILY_FIRST = ("ja_JP", "zh_CN", "zh_TW", "ko_KR")


@dataclass(frozen=True)
class Person:
    """Names as they stand in running text; `joint` is what stands between given and family name."""

    first: str
    last: str
    middle: str
    nick: str
    family_first: bool
    joint: str = " "

    @property
    def full(self) -> str:
        """The name in its own order."""
        parts = (self.last, self.first) if self.family_first else (self.first, self.last)
        return self.joint.join(parts)

    @property
    def is_latin(self) -> bool:
        """Whether initials, cases and handles make sense."""
        return is_latin(self.first + self.last)


def draw(rng: Random, locale: str, split: Split, invent: float = 0.0) -> Person:
    """A person of a locale; with probability `invent` each name is made up of the pool's letter pairs."""
    first = _one(rng, "first_name", locale, split, invent)
    last = _one(rng, "last_name", locale, split, invent)
    if locale == "en_US" and split == "train" and rng.random() < 0.3:
        first = rng.choice(frequent("en_US", "first_names", 150))
    native = locale in _FAMILY_FIRST
    nick = rng.choice(words("nickname")) if split == "train" else first
    middles = pool("middle_name", locale, split)
    middle = rng.choice(middles) if middles else _one(rng, "first_name", locale, split, invent)
    return Person(first, last, middle, nick, native, "" if native else " ")


def full_form(rng: Random, person: Person, split: Split = "train") -> str:
    """One of the longer ways to write the name: middle names, initials, particles, two family names."""
    if not person.is_latin:
        return person.full
    first, last, middle = person.first, person.last, person.middle
    form = rng.choices(range(len(_FORM_WEIGHTS)), _FORM_WEIGHTS)[0]
    return (
        person.full,
        f"{first} {middle[0]}. {last}",
        f"{first} {middle} {last}",
        f"{first} {_last_variant(rng, last, split)}",
        f"{last}, {first}",
        f"{first[0]}. {last}",
        f"{first[0]}. {middle[0]}. {last}",
        f"{first}-{middle} {last}",
        f"{last} {first}",
        f"{first} {last} {rng.choice(words('suffix'))}",
        f"{first} {last[0]}.",
        f"{first} {last[0]}",
        f"{last}, {first} {middle[0]}.",
        f"{first} “{person.nick}” {last}",
    )[form]


_FORM_WEIGHTS = (60, 5, 4, 7, 5, 3, 1, 2, 3, 1, 2, 1, 2, 1)


def handle(rng: Random, person: Person) -> tuple[str, str]:
    """A user name as (the part that names the person, digits after it)."""
    first, last = plain(person.first).lower(), plain(person.last).lower()
    stem = rng.choice(
        (
            f"{first}_{last}",
            f"{first}_{last}",
            f"{first}.{last}",
            f"{first}-{last}",
            f"{last}.{first}",
            f"{last}_{first}",
        )
    )
    digits = rng.choice(
        ("", f"_{rng.randrange(1000, 9999)}", f"{rng.randrange(1, 99)}", f"_{rng.randrange(10, 9999)}")
    )
    return stem, digits


def plain(name: str) -> str:
    """The name without anything but its letters."""
    return "".join(char for char in name if char.isalpha())


def _last_variant(rng: Random, last: str, split: Split) -> str:
    other = rng.choice(pool("last_name", "en_US", split))
    particle = rng.choice(words("particle")).strip()
    if particle in ("O'", "D'", "Mc", "Mac", "Fitz", "Ap"):
        return particle + last
    return rng.choice(
        (
            f"{last}-{other}",
            f"{last} {other}",
            f"{particle} {last}",
            f"{particle} {last}",
            f"{last} y {other}",
        )
    )


def _one(rng: Random, kind: str, locale: str, split: Split, invent: float) -> str:
    values = pool(kind, locale, split) or pool(kind, "en_US", split)
    if invent and rng.random() < invent:
        return invented(rng, values)
    return rng.choice(values)


def invented(rng: Random, values: tuple[str, ...]) -> str:
    """A new name: the head of one value and the tail of another that share a letter."""
    for _ in range(8):
        head, tail = rng.choice(values), rng.choice(values)
        cut = rng.randrange(1, max(2, len(head) - 1))
        at = tail.find(head[cut - 1], 1)
        made = head[:cut] + tail[at + 1 :] if at > 0 else ""
        if 3 <= len(made) <= 14 and " " not in made and made not in (head, tail):
            return made
    return rng.choice(values)
