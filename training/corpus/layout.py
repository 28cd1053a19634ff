"""What all layouts of records need: records to lay out, and pieces put between others."""

from collections.abc import Iterable
from random import Random

from training.corpus.records import Field, fill, plan
from training.corpus.scene import Scene
from training.corpus.template import Piece

_STYLES = ("snake", "snake", "snake", "camel", "pascal", "title", "kebab", "upper")


def key_style(rng: Random) -> str:
    return rng.choice(_STYLES)


def one_record(scene: Scene, personal: bool) -> list[Field]:
    return fill(scene, plan(scene.rng, personal))


def several_records(scene: Scene, personal: bool, least: int = 1, most: int = 5) -> list[list[Field]]:
    """Several records of one plan, each with its own cast."""
    fields = plan(scene.rng, personal)
    count = scene.rng.randrange(least, most + 1)
    return [fill(Scene(scene.rng, scene.split, scene.fixed_locale), fields) for _ in range(count)]


def between(parts: Iterable[list[Piece]], joint: str) -> list[Piece]:
    made: list[Piece] = []
    for at, part in enumerate(parts):
        if at:
            made.append((joint, ""))
        made.extend(part)
    return made


def wrapped(before: str, inner: list[Piece], after: str) -> list[Piece]:
    return [(before, ""), *inner, (after, "")]


def quoted(field: Field, quote: str) -> list[Piece]:
    if field.is_number:
        return field.value
    return wrapped(quote, [(text.replace("\n", "\\n"), label) for text, label in field.value], quote)
