"""Bare values: what a JSON leaf holds when it is a whole text of its own."""

from training.corpus.scene import Scene
from training.corpus.template import Piece

_LABELLED = {
    "full": 16,
    "full_form": 7,
    "first": 6,
    "last": 4,
    "last_first": 2,
    "handle": 5,
    "titled": 1,
    "street": 7,
    "address_line": 6,
    "address_lines": 2,
    "unit": 2,
    "city": 8,
    "state": 2,
    "country": 3,
    "city_state": 2,
    "nrp": 2,
    "org": 4,
    "upper_full": 1,
    "lower_full": 1,
}
_PLAIN = {
    "id": 8,
    "booking": 5,
    "flight": 4,
    "uuid": 1,
    "hex": 1,
    "token": 1,
    "date": 4,
    "timestamp": 3,
    "time": 2,
    "amount": 2,
    "phone": 1,
    "card": 1,
    "domain": 2,
    "url": 2,
    "path": 2,
    "file": 3,
    "snake": 6,
    "camel": 4,
    "class": 4,
    "constant": 2,
    "version": 1,
    "phrase": 5,
    "sentence": 6,
    "code_line": 4,
    "slug": 3,
    "product": 8,
    "brand": 3,
    "venue": 6,
    "airport": 3,
    "airport_code": 5,
    "title_case": 6,
    "status": 8,
    "job": 4,
    "department": 4,
    "heading": 4,
    "ui_label": 4,
    "software": 5,
    "model": 4,
    "month": 2,
    "weekday": 2,
    "holiday": 1,
    "food": 3,
    "animal": 2,
    "colour": 2,
    "eponym": 1,
    "error": 3,
    "header": 2,
    "sql_keyword": 1,
    "timezone": 2,
    "landmark": 2,
    "noun": 3,
    "adjective": 1,
    "verb": 1,
    "verb_noun": 2,
    "word": 2,
    "capitalised": 6,
    "acronym": 4,
    "trade": 4,
    "catch_phrase": 3,
    "words_in_a_row": 3,
    "currency_name": 1,
    "email": 1,
    "postcode": 1,
}
_PLAIN_SHARE = 0.55


def sample(scene: Scene) -> list[Piece]:
    """One value, with a label or without; now and then two in a list."""
    table = _PLAIN if scene.rng.random() < _PLAIN_SHARE else _LABELLED
    made = scene.fill(scene.rng.choices(list(table), list(table.values()))[0])
    if scene.rng.random() < 0.06:
        other = scene.fill(scene.rng.choices(list(table), list(table.values()))[0])
        return [*made, (scene.rng.choice((", ", " / ", "; ", " and ", " - ")), ""), *other]
    return made
