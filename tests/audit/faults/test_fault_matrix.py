"""Every write of the store, failed and killed at its calls: after that it verifies, nothing is lost or twice.

A sample of `make fault-matrix`: every operation, every kind of call, every fault; in the short form every
other kind of call.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disk import FAULTS
from support.fault_matrix import UNKNOWN, Killer, Prepared, may_write_itself
from support.fault_operations import OPERATIONS, Operation
from support.long import by_form
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
    turn, step = OPERATIONS.index(operation), by_form(short=2, long=1)
    for case in list(prepared.sample(turn))[turn % step :: step]:
        prepared.run(case)
    for third in by_form(short=[1 + turn % 2], long=[1, 2]):
        prepared.killed(killer, third * len(prepared.calls) // 3)


def test_the_sample_has_every_fault() -> None:
    assert len(OPERATIONS) > len(FAULTS), "each operation begins with another fault"
