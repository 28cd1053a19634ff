"""Whatever call of a topic's client fails, and however: every message is sealed once. A sample of what the
fault run injects."""

import itertools
from pathlib import Path

import pytest
from support.fault_run.client_faults import CALLS, FAULTS, ClientCase, run_case


@pytest.mark.parametrize(("call", "fault"), [*itertools.product(CALLS, FAULTS)])
def test_a_call_that_fails_loses_nothing(call: str, fault: str, tmp_path: Path) -> None:
    assert run_case(ClientCase(call, 0, fault), tmp_path), "it came to the fault"  # pyright: ignore[reportArgumentType]
