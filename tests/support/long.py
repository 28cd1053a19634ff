"""Which form of a test runs: the short one, or with `AUDITFUSE_LONG=1` the long one."""

import os
from typing import TypeVar

VARIABLE = "AUDITFUSE_LONG"
LONG = os.environ.get(VARIABLE) == "1"
Form = TypeVar("Form")


def by_form(*, short: Form, long: Form) -> Form:
    """What belongs to the form that runs."""
    return long if LONG else short
