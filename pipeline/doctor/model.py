"""What a check says."""

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

State = Literal["well", "warning", "fails"]


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of one check."""

    check: str
    """What was looked at, in a few words: `disk of the store`."""
    state: State
    says: str
    """What was seen, with its figures."""
    remedy: str = ""
    """What to do about it; empty where it is well."""


Area = Callable[[], Iterator[CheckResult]]
"""The checks of one area. Blocking; may raise, which is a result too."""


def well(check: str, says: str) -> CheckResult:
    """It is as it should be."""
    return CheckResult(check=check, state="well", says=says)


def warning(check: str, says: str, remedy: str) -> CheckResult:
    """It works, and will cost somebody a night one day."""
    return CheckResult(check=check, state="warning", says=says, remedy=remedy)


def fails(check: str, says: str, remedy: str) -> CheckResult:
    """It does not work."""
    return CheckResult(check=check, state="fails", says=says, remedy=remedy)
