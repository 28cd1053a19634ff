"""What real text does to values: case, typing errors, lost marks, escapes, prefixes; labels move along."""

import unicodedata
from random import Random

from training.corpus.template import IGNORE, Piece

MAX_CHARS = 1200

_PREFIXES = (
    "User: ",
    "user: ",
    "Agent: ",
    "assistant: ",
    "> ",
    "[user] ",
    "Customer: ",
    "- ",
    "* ",
    "1. ",
    "Q: ",
    "A: ",
    "Observation: ",
    "Thought: ",
    "Result: ",
    "### ",
    "\n",
    "  ",
    "content: ",
    "Tool output: ",
    "Summary: ",
    "Note: ",
)


def noisy(rng: Random, made: list[Piece]) -> list[Piece]:
    """The pieces with at most two kinds of noise, most often with none."""
    chance = rng.random()
    if chance < 0.07:
        made = [(text.lower(), label) for text, label in made]
    elif chance < 0.105:
        made = [(text.upper(), label) for text, label in made]
    elif chance < 0.12:
        made = [(text.title() if label != IGNORE else text, label) for text, label in made]
    elif chance < 0.16:
        made = [
            (text.lower() if label in ("PERSON", "PLACE", "NRP") else text, label) for text, label in made
        ]
    elif chance < 0.175:
        made = [(text.upper() if label in ("PERSON", "PLACE") else text, label) for text, label in made]
    chance = rng.random()
    if chance < 0.05:
        made = [(ascii_folded(text), label) for text, label in made]
    elif chance < 0.09:
        made = _mistyped(rng, made)
    elif chance < 0.11:
        made = [
            (text.replace(",", "").replace(".", "") if not label else text, label) for text, label in made
        ]
    elif chance < 0.13:
        made = [(text.replace("\n", "\\n").replace('"', '\\"'), label) for text, label in made]
    elif chance < 0.14:
        made = [(text.replace("'", "’"), label) for text, label in made]
    if rng.random() < 0.05:
        made = [(rng.choice(_PREFIXES), ""), *made]
    return made


def ascii_folded(text: str) -> str:
    """Latin letters without their accents; other scripts as they are."""
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return folded if sum(map(str.isalpha, folded)) >= sum(map(str.isalpha, text)) else text


def truncated(rng: Random, made: list[Piece]) -> list[Piece]:
    """The pieces cut to MAX_CHARS, some samples cut short anywhere; a value that is cut is ignored."""
    length = sum(len(text) for text, _ in made)
    most = MAX_CHARS if rng.random() > 0.03 or length < 40 else rng.randrange(30, length)
    kept: list[Piece] = []
    for text, label in made:
        room = most - sum(len(part) for part, _ in kept)
        if room <= 0:
            break
        is_cut = len(text) > room and label
        kept.append((text[:room], IGNORE if is_cut else label))
    return kept


def _mistyped(rng: Random, made: list[Piece]) -> list[Piece]:
    """One or two letters swapped, doubled or lost; a name may be hit as well."""
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(made))
        text, label = made[at]
        if len(text) < 6:
            continue
        place = rng.randrange(1, len(text) - 2)
        if not (text[place].isalpha() and text[place + 1].isalpha()):
            continue
        one, two = text[place], text[place + 1]
        new = rng.choice((two + one, one + one + two, two))
        made = [*made[:at], (text[:place] + new + text[place + 2 :], label), *made[at + 1 :]]
    return made
