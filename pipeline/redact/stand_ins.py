"""What stands in stored rows for text that could not be redacted in its budget, counted by reason."""

import re
from collections import Counter
from collections.abc import Iterable

REASONS = frozenset(
    (
        "event_bytes",
        "event_candidates",
        "event_names",
        "value_bytes",
        "value_candidates",
        "nested_too_deep",
        "not_encodable",
        "recognizer_error",
        "word_too_long",
    )
)
"""All there are. Texts that pass as they are may hold others, which must not become labels of a metric."""
_STAND_IN = re.compile(rb"<REDACTION_(CUT|FAILED):([a-z_]{1,40}):\d")


def count_stand_ins(texts: Iterable[bytes]) -> Counter[tuple[str, str]]:
    """How many of each (CUT or FAILED, reason) stand in stored texts."""
    found = ((match[1].decode(), match[2].decode()) for text in texts for match in _STAND_IN.finditer(text))
    return Counter(pair for pair in found if pair[1] in REASONS)
