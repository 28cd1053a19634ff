"""Every known attack turns the verdicts that the golden file has for it, with all that an auditor may have.

`make tamper-matrix` writes the golden file's table to docs/tamper-matrix.md, and flips ten times the bits.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tamper_cases import CASES, Case
from support.tamper_matrix import (
    GOLDEN,
    PAGE,
    flip_bits,
    golden,
    page,
    quick,
    run_case,
    verdicts_turned,
)
from support.trail import Trail, build_trail

EXPECTED = json.loads(GOLDEN.read_text())
BIT_FLIPS = 100
ASKED_OF_SQL = 8
"""One case in so many is given to verify.sql too: `make tamper-matrix` gives it all of them."""


@pytest.fixture(autouse=True, scope="module")
def small_files() -> Iterator[None]:
    with quick():
        yield


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Trail:
    return build_trail(tmp_path_factory.mktemp("tamper") / "trail")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.name.replace(' ', '-')}")
def test_attack(case: Case, trail: Trail, tmp_path: Path) -> None:
    asked = CASES.index(case) % ASKED_OF_SQL == 0
    outcome = run_case(case, trail, tmp_path / "case", sql=asked)
    expected = EXPECTED[case.name]
    assert golden(outcome) == (expected if asked else expected | {"sql": None})
    assert outcome.seen


def test_untouched_store_holds(trail: Trail) -> None:
    assert not any(verdicts_turned(trail).values())


def test_no_flipped_bit_goes_unseen(trail: Trail, tmp_path: Path) -> None:
    unseen = [one.name for one in flip_bits(trail, tmp_path / "case", BIT_FLIPS) if not one.turned["key"]]
    assert unseen == []


def test_the_page_is_of_these_cases() -> None:
    assert list(EXPECTED) == [case.name for case in CASES]
    assert PAGE.read_text() == page(EXPECTED), "run: make tamper-matrix"
