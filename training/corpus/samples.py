"""One generated sample: a source is drawn, rendered, made noisy, and checked against the split."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from training.corpus import leaves, noise, structured
from training.corpus.pools import held_out_values
from training.corpus.scene import Scene
from training.corpus.split import folded
from training.corpus.template import Piece, joined, pieces, templates

# Shares of the generated samples: layouts of records, bare values, talks of several lines, templates.
_SOURCES = {"structured": 28, "leaf": 16, "dialogue": 5, "template": 51}
# Shares of the template files among the templates.
_FILES = {
    "service": 18,
    "people": 19,
    "work": 16,
    "plain": 20,
    "ambiguous": 8,
    "talk": 8,
    "local": 4,
    "native": 3,
    "blocks": 10,
    "open": 12,
}
_DIALOGUE_FILES = ("service", "people", "talk", "talk", "plain", "open")
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


def sample(seed: int, number: int) -> Sample:
    """The sample of that number: a function of the seed and the number alone."""
    for attempt in range(20):
        rng = Random(f"{seed}:{number}:{attempt}")  # noqa: S311
        made, source = _made(rng)
        if rng.random() < _JOINED:
            for _ in range(rng.choice((1, 1, 2, 3))):
                made = [*made, (rng.choice((" ", "\n", "\n\n", " ")), ""), *_made(rng)[0]]
        made = noise.truncated(rng, noise.noisy(rng, made))
        if holds_held_out(made):
            continue
        text, spans, ignore = joined(made)
        if text.strip():
            return Sample(text, spans, ignore, source)
    raise RuntimeError(f"sample {number}: no draw without held-out values")


def chunk(seed: int, first: int, count: int) -> list[Sample]:
    """The samples of a range of numbers."""
    return [sample(seed, number) for number in range(first, first + count)]


def _made(rng: Random) -> tuple[list[Piece], str]:
    source = rng.choices(tuple(_SOURCES), tuple(_SOURCES.values()))[0]
    if source == "structured":
        return structured.sample(Scene(rng), rng.random() < _PERSONAL), source
    if source == "leaf":
        return leaves.sample(Scene(rng)), source
    if source == "dialogue":
        return _dialogue(rng), source
    name = rng.choices(tuple(_FILES), tuple(_FILES.values()))[0]
    return _rendered(rng, rng.choice(templates(name))), name


def _rendered(rng: Random, template: str) -> list[Piece]:
    """A template; `locale<TAB>` in front of it says whose names it takes."""
    locale, tab, rest = template.partition("\t")
    scene = Scene(rng, "train", locale if tab else None)
    return pieces(rest if tab else template, scene.fill, rng.choice)


def _dialogue(rng: Random) -> list[Piece]:
    """Lines of a conversation, one cast for all."""
    scene = Scene(rng)
    roles = rng.choice(_ROLES)
    joint = rng.choice(("\n", "\n", "\n\n", " "))
    made: list[Piece] = []
    for turn in range(rng.randrange(2, 7)):
        template = rng.choice(templates(rng.choice(_DIALOGUE_FILES)))
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
