"""The page of types says what the code does."""

import re
from pathlib import Path

import pytest
from support.type_cases import found

from pipeline.redact.config import STOCK_ENTITIES
from pipeline.redact.pseudonym import normal_form
from pipeline.redact.types import personal, secrets
from pipeline.redact.types.keys import KEY_RULES

PAGE = Path(__file__).parents[2] / "docs" / "redaction-types.md"
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in PAGE.read_text().splitlines()
    if re.match(r"\| [A-Z]", line)
]
FORMS = {"words": "aa-1 b", "digits and letters": "AA1B", "as it is": "Aa-1 b"}


def test_the_page_lists_every_type_once() -> None:
    shapes = {shape.entity for shape in (*personal.PATTERNS, *secrets.PATTERNS)}
    types = shapes | set(STOCK_ENTITIES) | {rule.entity for rule in KEY_RULES} | {"ID", "USER_ID"}
    assert sorted(row[0] for row in ROWS) == sorted(types)
    assert all(row[1] for row in ROWS)


@pytest.mark.parametrize("row", [row for row in ROWS if len(row) == 5], ids=lambda row: row[0])
def test_how_the_form_and_the_example_hold(row: list[str]) -> None:
    entity, _, how, form, example = row
    shapes = [shape for shape in personal.PATTERNS if shape.entity == entity]
    assert ("pattern" in how) is bool(shapes)
    assert ("check" in how) is any(shape.accept for shape in shapes)
    assert ("Presidio" in how) is (entity in STOCK_ENTITIES)
    assert ("key" in how) is (entity in {rule.entity for rule in KEY_RULES})
    if entity != "PHONE_NUMBER":
        assert normal_form(entity, "Aa-1 b", "US") == FORMS[form]
    if example:
        assert entity in {kind for kind, _ in found(example.strip("`"))}
