"""One generated sample: a source is drawn, rendered, made noisy, and checked against the split."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from training.corpus import leaves, noise, structured
from training.corpus.pools import held_out_values
from training.corpus.scene import Scene
from training.corpus.split import Split, folded
from training.corpus.swaps import swapped
from training.corpus.template import Piece, joined, pieces, templates

# Shares of the generated samples: layouts of records, bare values, talks of several lines, templates.
_SOURCES = {"structured": 25, "leaf": 14, "dialogue": 5, "template": 56}
# Shares of the template files among the templates.
_FILES = {
    "service": 17,
    "people": 18,
    "prose": 25,
    "places": 13,
    "credits": 13,
    "groups": 8,
    "work": 15,
    "plain": 21,
    "ambiguous": 8,
    "talk": 13,
    "local": 3,
    "regional": 9,
    "native": 3,
    "blocks": 9,
    "open": 13,
}
# Of the templates, those that are read with things where people should be.
_EMPTY = 0.12
# Of the talk about nobody, what gets names all the same.
_SWAPPED = 0.45
_DIALOGUE_FILES = ("service", "people", "prose", "places", "talk", "talk", "plain", "open")
_ROLES = (
    ("user: ", "assistant: "),
    ("Customer: ", "Agent: "),
    ("", ""),
    ("Q: ", "A: "),
    ("[USER] ", "[BOT] "),
)
_JOINED = 0.15
# The share of records that hold people, places or addresses.
_PERSONAL = 0.6
_WORD_MARKS = " \n\t,;:|/\"'()[]{}<>=_&"


@dataclass(frozen=True)
class Sample:
    """A text with its labels: the corpus's unit. Offsets count characters."""

    text: str
    spans: list[tuple[int, int, str]]
    ignore: list[tuple[int, int]]
    source: str


def sample(seed: int, number: int, split: Split = "train") -> Sample:
    """The sample of that number: a function of its arguments alone. A held-out one has held-out values in
    held-out wording."""
    for attempt in range(20):
        rng = Random(f"{seed}:{number}:{attempt}")  # noqa: S311
        made, source = _made(rng, split)
        if rng.random() < _JOINED:
            for _ in range(rng.choice((1, 1, 2, 3))):
                made = [*made, (rng.choice((" ", "\n", "\n\n", " ")), ""), *_made(rng, split)[0]]
        made = noise.truncated(rng, noise.noisy(rng, made))
        if split == "train" and holds_held_out(made):
            continue
        text, spans, ignore = joined(made)
        if text.strip():
            return Sample(text, spans, ignore, source)
    raise RuntimeError(f"sample {number}: no draw without held-out values")


def chunk(seed: int, first: int, count: int, split: Split = "train") -> list[Sample]:
    """The samples of a range of numbers."""
    return [sample(seed, number, split) for number in range(first, first + count)]


def _made(rng: Random, split: Split) -> tuple[list[Piece], str]:
    source = rng.choices(tuple(_SOURCES), tuple(_SOURCES.values()))[0]
    if source == "structured":
        return structured.sample(Scene(rng, split), rng.random() < _PERSONAL), source
    if source == "leaf":
        return leaves.sample(Scene(rng, split)), source
    if source == "dialogue":
        return _dialogue(rng, split), source
    name = rng.choices(tuple(_FILES), tuple(_FILES.values()))[0]
    return _rendered(rng, rng.choice(templates(name, split)), split), name


def _rendered(rng: Random, template: str, split: Split) -> list[Piece]:
    """A template; `locale<TAB>` in front of it says whose names it takes."""
    locale, tab, rest = template.partition("\t")
    scene = Scene(rng, split, locale if tab else None, rng.random() < _EMPTY)
    made = pieces(rest if tab else template, scene.fill, rng.choice)
    if not tab and len(made) == 1 and rng.random() < _SWAPPED:
        return swapped(rng, template, scene)
    return made


def _dialogue(rng: Random, split: Split) -> list[Piece]:
    """Lines of a conversation, one cast for all."""
    scene = Scene(rng, split)
    roles = rng.choice(_ROLES)
    joint = rng.choice(("\n", "\n", "\n\n", " "))
    made: list[Piece] = []
    for turn in range(rng.randrange(2, 7)):
        template = rng.choice(templates(rng.choice(_DIALOGUE_FILES), split))
        made += [
            (joint if turn else "", ""),
            (roles[turn % 2], ""),
            *pieces(template, scene.fill, rng.choice),
        ]
    return made


def holds_held_out(made: list[Piece]) -> bool:
    """Whether a labelled value is or contains, word by word, a held-out name or city."""
    return held_out_in(text for text, label in made if label in ("PERSON", "PLACE", "ADDRESS"))


def held_out_in(values: Iterable[str]) -> bool:
    """Whether one of the values is or contains a held-out name or city of up to three words."""
    return any(_contains(value) for value in values)


def _contains(text: str) -> bool:
    held_out = held_out_values()
    words = folded(text).translate(str.maketrans(_WORD_MARKS, " " * len(_WORD_MARKS))).split()
    words = [word.strip(".“”’") for word in words]
    return any(
        " ".join(words[at : at + length]) in held_out for length in (1, 2, 3) for at in range(len(words))
    )
