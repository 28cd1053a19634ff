"""Hostile strings cost time in proportion to their length."""

import random
import time
from collections.abc import Callable

import pytest
from support.redact import fresh

from pipeline.redact.redactor import Redactor


def _mixed(size: int) -> str:
    pick = random.Random(size)
    return "".join(pick.choice('aб中1@.:/ <>{}"\\%&=-_') for _ in range(size))


FAMILIES: dict[str, Callable[[int], str]] = {
    "dots": lambda n: "." * n,
    "dotted_words": lambda n: "a." * (n // 2),
    "digits": lambda n: "7" * n,
    "at_signs": lambda n: "a@" * (n // 2),
    "spaces": lambda n: " " * n,
    "quotes": lambda n: '\\"' * (n // 2),
    "nested_arrays": lambda n: "[" * (n // 2) + "]" * (n // 2),
    "base64": lambda n: "QUJD" * (n // 4),
    "long_word": lambda n: "x" * n,
    "percent": lambda n: "%25" * (n // 3),
    "colons": lambda n: "a:" * (n // 2),
    "begin_key": lambda n: "-----BEGIN PRIVATE KEY-----" * (n // 27),
    "assignments": lambda n: "token=" * (n // 6),
    "integers": lambda n: "4155550132 " * (n // 11),
    "queries": lambda n: "?a=" * (n // 3),
    "capitals": lambda n: "1 Ab " * (n // 5),
    "markup": lambda n: "<A:" * (n // 3),
    "mixed": _mixed,
}


def _seconds(redactor: Redactor, text: str) -> float:
    """Processor time of the best of two runs: the machine is shared."""
    best = float("inf")
    for _ in range(2):
        start = time.process_time()
        redactor.redact_text(text)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("family", FAMILIES)
def test_time_grows_with_length(family: str) -> None:
    redactor = fresh(names=False, memo_bytes=0, max_candidates=10_000)
    redactor.redact_text("warm up 4155550132 a@b.com")
    # An integer may be a phone number in eight regions, a millisecond each: shorter texts do.
    small, large = (1_300, 5_200) if family == "integers" else (4_500, 18_000)
    cost_small = _seconds(redactor, FAMILIES[family](small))
    cost_large = _seconds(redactor, FAMILIES[family](large))
    # Linear is 4; quadratic is 16. Below 40 ms nothing can be told, and nothing is wrong.
    assert cost_large < max(0.04, 9 * cost_small), f"{cost_small:.3f} s → {cost_large:.3f} s"


def test_names_on_hostile_words_stay_bounded() -> None:
    redactor = fresh(memo_bytes=0)
    redactor.redact_text("warm up Margaret")
    for family in ("dots", "long_word", "mixed"):
        cost_small = _seconds(redactor, "Hi " + FAMILIES[family](2_500))
        cost_large = _seconds(redactor, "Hi " + FAMILIES[family](10_000))
        assert cost_large < max(0.2, 9 * cost_small), f"{family}: {cost_small:.3f} s → {cost_large:.3f} s"
