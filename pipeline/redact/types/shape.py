"""A shape: one pattern of one type of value."""

import re
from collections.abc import Callable
from typing import NamedTuple


class Shape(NamedTuple):
    """One shape of one type. The pattern is bounded, so that a scan is linear; the group `v`, where there is
    one, is the part that is redacted."""

    entity: str
    literals: tuple[str, ...]
    """Lower-case strings of which at least one is in every match: most text passes unscanned."""
    pattern: re.Pattern[str]
    accept: Callable[[str], bool] | None = None
    """A last look at the value; None takes it as it is."""
