"""Faults at the file and the client layer: of the fault matrix, and at the calls of a topic's client."""

import itertools
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from support.disk import FAULTS
from support.fault_matrix import Case, Prepared
from support.fault_operations import OPERATIONS
from support.fault_run.client_faults import cases as client_cases
from support.fault_run.client_faults import run_case
from support.stage import small_bundles


def inject_at_calls(count: int) -> dict[str, Any]:
    """Every n-th case of the fault matrix, about `count` of them, spread over all operations; and every fault
    at the client's calls."""
    cases: Counter[str] = Counter()
    failures: list[str] = []
    if count <= 0:
        return {"injected": 0, "injected_by_fault": {}, "injected_failures": 0, "injected_wrong": []}
    patch = small_bundles()
    try:
        with tempfile.TemporaryDirectory(prefix="auditfuse-faults-") as name:
            share = -(-count // len(OPERATIONS))
            for number, operation in enumerate(OPERATIONS):
                prepared = Prepared(operation, Path(name) / str(number))
                possible = list(prepared.cases(list(FAULTS)))
                for case in _spread(possible, share):
                    cases[case.fault] += 1
                    try:
                        prepared.run(case)
                    except AssertionError as error:
                        failures.append(str(error))
            for number, client_case in enumerate(client_cases()):
                try:
                    hit = run_case(client_case, Path(name) / f"client-{number}")
                except AssertionError as error:
                    hit = True
                    failures.append(str(error))
                cases[f"client: {client_case.fault}"] += hit
    finally:
        patch.undo()
    return {
        "injected": cases.total(),
        "injected_by_fault": dict(cases),
        "injected_failures": len(failures),
        "injected_wrong": failures[:20],
    }


def _spread(cases: list[Case], count: int) -> list[Case]:
    """So many of them, evenly; all where there are fewer."""
    step = max(1.0, len(cases) / count)
    places = (int(n * step) for n in itertools.count())
    return [cases[at] for at in itertools.takewhile(lambda at: at < len(cases), places)]
