"""People, places and groups put into sentences about nobody: names where real wording has "the user"."""

import re
from random import Random

from training.corpus.scene import Scene
from training.corpus.template import Piece

_ROLES = (
    "user|caller|developer|programmer|author|client|customer|administrator|maintainer|owner|operator|reader"
    "|reviewer|agent|assistant|server|system|application|program|process|compiler|interpreter|parser|driver"
    "|company|team|manager|person|student|guest|supplier|tenant|court|library|tool|class|function|method"
)
_SUBJECT = re.compile(
    rf"\b(?:[Tt]he (?:{_ROLES})|[Yy]ou|[Ww]e|[Tt]hey|[Hh]e|[Ss]he|I|[Ss]omeone|[Nn]obody)\b(?!['’-])"
)
_OWNER = re.compile(r"\b(?:[Yy]our|[Mm]y|[Oo]ur|[Tt]heir|[Hh]is)\b(?= [a-z])")
_OBJECT = re.compile(r"\b(?:me|him|them|us|the (?:user|customer|guest|caller|client|owner))\b(?=[ ,.;:?!]|$)")
_ADJECTIVE = re.compile(
    r"(?<=[a-z]{2} )(?:new|different|standard|specific|simple|common|local|other|current|main|first|last"
    r"|best|old|original|general|normal|large|small|good|special|certain|similar)\b(?= [a-z])"
)
_AGREEMENT = {" are ": " is ", " have ": " has ", " were ": " was ", " do ": " does ", " am ": " is "}
_KINDS = ("full", "full", "full_form", "first", "first", "last", "titled", "full#1", "first#1")
_SITES = (
    "office|server|cloud|network|store|building|hotel|airport|station|warehouse|database|browser|repository"
    "|market|table|future|past|same|main|system|project|root"
)
_PLACE = re.compile(
    r"(?:(?<=\bin )|(?<=\bto )|(?<=\bat )|(?<=\bfrom )|(?<=\bnear ))" rf"(?:here|the (?:{_SITES}))\b"
)
_PATTERNS = {"person": _SUBJECT, "owner": _OWNER, "object": _OBJECT, "nrp": _ADJECTIVE, "place": _PLACE}
_SHARES = (46, 16, 17, 12, 9)


def swapped(rng: Random, text: str, scene: Scene) -> list[Piece]:
    """The text with names in place of one to three words; as it is where it has no such words."""
    order = dict.fromkeys((*rng.choices(tuple(_PATTERNS), _SHARES, k=2), *_PATTERNS))
    found = next(filter(None, (_places(rng, kind, text) for kind in order)), [])
    made: list[Piece] = []
    at = 0
    for start, end, kind in found:
        made += [(text[at:start], ""), *_name(rng, scene, kind)]
        verb = next((verb for verb in _AGREEMENT if kind == "person" and text.startswith(verb, end)), "")
        made.append((_AGREEMENT.get(verb, ""), ""))
        at = end + len(verb)
    return [*made, (text[at:], "")]


def _places(rng: Random, kind: str, text: str) -> list[tuple[int, int, str]]:
    spans = [match.span() for match in _PATTERNS[kind].finditer(text)]
    chosen = sorted(rng.sample(spans, min(len(spans), rng.choice((1, 1, 2, 3)))))
    return [(start, end, kind) for start, end in chosen]


def _name(rng: Random, scene: Scene, kind: str) -> list[Piece]:
    if kind in ("nrp", "place"):
        return scene.fill(kind)
    slot, _, number = rng.choice(_KINDS).partition("#")
    made = scene.fill(slot, number)
    return [*made, (rng.choice(("'s", "'s", "’s")), "")] if kind == "owner" else made
