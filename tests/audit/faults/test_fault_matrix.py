"""Every write of the store, failed and killed at its calls: after that it verifies, nothing is lost or twice.

A sample of `make fault-matrix`: every operation, every kind of call, every fault.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disk import FAULTS
from support.fault_matrix import UNKNOWN, Killer, Prepared, may_write_itself
from support.fault_operations import OPERATIONS, Operation
from support.stage import small_bundles


@pytest.fixture(autouse=True, scope="module")
def few_entries() -> Iterator[None]:
    patch = small_bundles()
    yield
    patch.undo()


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    killer = Killer()
    yield killer
    killer.close()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name.replace(" ", "-"))
def test_whatever_fails(operation: Operation, killer: Killer, tmp_path: Path) -> None:
    prepared = Prepared(operation, tmp_path)
    assert not {path for path in prepared.strays if not may_write_itself(path)}, "written past the file layer"
    assert not [call for call in prepared.calls if UNKNOWN in call.place], "a place that nobody has named"
    for case in prepared.sample(OPERATIONS.index(operation)):
        prepared.run(case)
    for at in (len(prepared.calls) // 3, 2 * len(prepared.calls) // 3):
        prepared.killed(killer, at)


def test_the_sample_has_every_fault() -> None:
    assert len(OPERATIONS) > len(FAULTS), "each operation begins with another fault"
