"""A wide English vocabulary and sentences made of it, so that an unknown word is not taken for a name.

The words are WordNet's lemmas as packaged with spaCy's small model: those only that the model's own training
text held, and none that our pools know as a first name or a place.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from random import Random
from typing import NamedTuple

from training.corpus.pools import pool
from training.corpus.readings import MODEL
from training.corpus.split import folded

_SHORTEST, _LONGEST = 3, 16


class Vocabulary(NamedTuple):
    """Lower-case words by their use, each part sorted."""

    nouns: tuple[str, ...]
    plurals: tuple[str, ...]
    adjectives: tuple[str, ...]
    adverbs: tuple[str, ...]
    verbs: tuple[str, ...]
    pasts: tuple[str, ...]
    gerunds: tuple[str, ...]


@cache
def vocabulary() -> Vocabulary:
    """The words of the installed model."""
    from spacy.lookups import Lookups
    from srsly import read_json

    folder = next(Path(str(import_module(MODEL).__file__)).parent.glob(f"{MODEL}-*"))
    index = Lookups().from_disk(folder / "lemmatizer" / "lookups").get_table("lemma_index")
    known = set(read_json(folder / "vocab" / "strings.json"))
    names = _names()

    def kept(words: set[str]) -> tuple[str, ...]:
        plain = (word for word in words & known if word.isascii() and word.isalpha() and word.islower())
        return tuple(
            sorted(word for word in plain if _SHORTEST <= len(word) <= _LONGEST and word not in names)
        )

    nouns, verbs = set(index["noun"]), set(index["verb"])
    return Vocabulary(
        nouns=kept(nouns),
        plurals=kept({f"{word}s" for word in nouns}),
        adjectives=kept(set(index["adj"])),
        adverbs=kept(set(index["adv"])),
        verbs=kept(verbs),
        pasts=kept({_with(word, "ed") for word in verbs}),
        gerunds=kept({_with(word, "ing") for word in verbs}),
    )


def noun(rng: Random) -> str:
    """A noun."""
    return rng.choice(vocabulary().nouns)


def adjective(rng: Random) -> str:
    """An adjective."""
    return rng.choice(vocabulary().adjectives)


def verb(rng: Random) -> str:
    """A verb's base form."""
    return rng.choice(vocabulary().verbs)


def any_word(rng: Random) -> str:
    """A word of any kind."""
    return rng.choice(vocabulary()[rng.randrange(len(vocabulary()))])


def natural(rng: Random) -> str:
    """A sentence in English grammar, with little sense."""
    made = rng.choice(_PATTERNS)
    fillers: dict[str, Callable[[], str]] = {
        "N": lambda: noun(rng),
        "S": lambda: rng.choice(vocabulary().plurals),
        "A": lambda: adjective(rng),
        "R": lambda: rng.choice(vocabulary().adverbs),
        "V": lambda: verb(rng),
        "D": lambda: rng.choice(vocabulary().pasts),
        "G": lambda: rng.choice(vocabulary().gerunds),
        "P": lambda: rng.choice(
            ("in", "on", "near", "behind", "without", "for", "from", "with", "under", "at")
        ),
        "W": lambda: rng.choice(("he", "she", "they", "we", "I", "someone", "nobody", "everyone", "it")),
    }
    text = " ".join(
        fillers[part[0]]() + part[1:] if part[0] in fillers else part.strip("'") for part in made.split()
    )
    return text[0].upper() + text[1:]


# Capital letters stand for words of a kind; everything else is written as it is, capitals in quotes.
_PATTERNS = (
    "the A N D the N P the N.",
    "W D the N and R D the A N.",
    "a N of S was D P the N.",
    "please V the N before the A S V.",
    "why is the N so A?",
    "there are A S P the N, but W D them R.",
    "G the N is A, G the S is not.",
    "W was G the N when the N D.",
    "can W V the A N, or is it too A?",
    "my N and your N D the same N.",
    "all S must be D, D and R D.",
    "the N, which W had D, was A.",
    "no N can V a N P S.",
    "it is R A to V S.",
    "W said that the S were D P the N.",
    "after G the S, W D a N P a N.",
    "A N, A N and A N",
    "V the N; then V the N.",
    "that N is A because the S are A.",
    "do not V the N P the N.",
    "what a A N!",
    "if the N is D, V it R.",
    "three S, two S and one N were D.",
    "W would like to V a N P a A N.",
    "thanks for G the N so R.",
    "how many S does a N V?",
    "S and S are A P the A N.",
    "R, the N D.",
    "the N's N was D P W.",
    "N: A N P N",
)


def _with(word: str, ending: str) -> str:
    return f"{word.removesuffix('e')}{ending}"


def _names() -> frozenset[str]:
    """First names, places and nationalities of both splits; family names are too often ordinary words."""
    kinds = ("first_name", "city", "country", "state", "nationality")
    values = (value for kind in kinds for half in ("train", "held_out") for value in pool(kind, None, half))
    return frozenset(folded(value) for value in values) - frozenset(
        pool("noun") + pool("adjective") + pool("verb")
    )
