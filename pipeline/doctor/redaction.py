"""Redaction: whether it is on, and does what it is for on this machine."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.config import Config
from pipeline.doctor.model import CheckResult, fails, warning, well
from pipeline.keys import Keys
from pipeline.redact.redactor import Redactor

SAMPLE = "Please call Margaret Thompson at margaret.thompson" + "@" + "example.org."
MUST_GO = ("Margaret Thompson", "example.org")


def redaction(config: Config) -> Iterator[CheckResult]:
    """Load the models of this configuration and redact a sentence, under keys that are thrown away."""
    rules = config.redaction
    if not rules.enabled:
        yield fails("redaction", "is off: personal data is kept as it comes", "set redaction.enabled = true")
        return
    with tempfile.TemporaryDirectory() as directory:
        redacted = Redactor(rules, Keys(Path(directory))).redact_text(SAMPLE).text
    left = [text for text in MUST_GO if text in redacted]
    if left:
        yield warning(
            "redaction",
            f"leaves {' and '.join('a name' if text == MUST_GO[0] else 'an address' for text in left)} of a "
            "sample sentence as it is",
            "see [redaction]: names, entities, allow lists, operators; auditfuse redact --explain",
        )
    else:
        yield well("redaction", f"names by {rules.names}; a sample sentence loses its name and address")
