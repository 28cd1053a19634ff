"""The tamper matrix of the tests, counted: how many known attacks there are, and how many went unseen."""

import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import ROOT

MATRIX = "support.tamper_matrix"
"""In tests/: `run_matrix(folder: Path, bit_flips: int, every: int)` gives one result a case, with `seen`."""


class TamperCount(NamedTuple):
    """Attacks tried, and those that no verdict told of."""

    cases: int
    unseen: int


def count_tamper_cases(bit_flips: int, every: int = 1) -> TamperCount:
    """Run every so-manieth case of the matrix, with so many flipped bits."""
    tests = str(ROOT / "tests")
    sys.path.insert(0, tests)
    try:
        matrix: Any = import_module(MATRIX)
        with tempfile.TemporaryDirectory(prefix="auditfuse-tamper-") as folder:
            results = list(matrix.run_matrix(Path(folder), bit_flips=bit_flips, every=every))
    finally:
        sys.path.remove(tests)
    return TamperCount(len(results), sum(not result.seen for result in results))
