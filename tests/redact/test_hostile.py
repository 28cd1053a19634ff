"""Hostile texts cost the engine time in proportion to their length; the whole redactor is measured by
`make bench-redact`, 1 KB to 1 MB of each family."""

import functools
import time

import pytest
from support.redact import fresh

from benchmarks.hostile import FAMILIES
from pipeline.redact.config import RedactionConfig
from pipeline.redact.find.engine import Engine
from pipeline.redact.redactor import Redactor

SMALL, LARGE = 5_000, 40_000
COSTLY = {"ten-digit integers": (1_500, 9_000)}
"""Every integer may be a phone number in eight regions: shorter texts do."""
GROWTH = 3
NOISE_SECONDS = 0.03
"""Below this nothing can be told, and nothing is wrong."""


@functools.cache
def _engine() -> Engine:
    engine = Engine(RedactionConfig())
    engine.analyze("warm up: bank account 84920175523, 415 555 0132, a@b.com")
    return engine


def _engine_seconds(text: str) -> float:
    start = time.process_time()
    _engine().analyze(text)
    return time.process_time() - start


@pytest.mark.parametrize("family", FAMILIES)
def test_time_a_character_does_not_grow(family: str) -> None:
    small, large = COSTLY.get(family, (SMALL, LARGE))
    # Never a text twice: what the first one cost would be remembered.
    cost_small = max(_engine_seconds(FAMILIES[family](small + n)) for n in range(3))
    cost_large = _engine_seconds(FAMILIES[family](large))
    allowed = GROWTH * large / small * cost_small
    assert cost_large < max(NOISE_SECONDS, allowed), f"{cost_small:.3f} s → {cost_large:.3f} s"


def test_contexts_do_not_make_it_grow() -> None:
    """Each number is looked at with the words before it: a window, not the text."""
    cost_small = max(_engine_seconds(f"account 8492017{n} of " * 150) for n in range(3))
    cost_large = _engine_seconds("account 84920175 of " * 1500)
    assert cost_large < max(NOISE_SECONDS, GROWTH * 10 * cost_small)


def _seconds(redactor: Redactor, text: str) -> float:
    start = time.process_time()
    redactor.redact_text(text)
    return time.process_time() - start


def test_names_on_hostile_words_stay_bounded() -> None:
    redactor = fresh(memo_bytes=0)
    redactor.redact_text("warm up Margaret")
    for family in ("dots", "one long word", "mixed scripts"):
        cost_small = _seconds(redactor, "Hi " + FAMILIES[family](2_500))
        cost_large = _seconds(redactor, "Hi " + FAMILIES[family](10_000))
        assert cost_large < max(0.2, 9 * cost_small), f"{family}: {cost_small:.3f} s → {cost_large:.3f} s"
