"""What the redaction tests share: redactors with names and without (a model takes seconds to load)."""

import functools
import tempfile
from pathlib import Path

from pipeline.keys import Keys
from pipeline.redact.redactor import RedactedEvent, RedactionConfig, Redactor
from schemas.event import Event


@functools.cache
def test_keys() -> Keys:
    """Keys of this run of the tests."""
    return Keys(Path(tempfile.mkdtemp(prefix="auditfuse-test-keys-")))


@functools.cache
def redactor(names: bool | str = True) -> Redactor:
    """A shared redactor with the default configuration, with or without the name finder."""
    return fresh(names=names)


def fresh(names: bool | str = True, **options: object) -> Redactor:
    """A redactor of its own, with an empty memo. `names`: by whom; True: as by default."""
    chosen = names if isinstance(names, str) else "tagger" if names else "off"
    config = RedactionConfig.model_validate({"names": chosen, **options})
    return Redactor(config, test_keys())


def event(**fields: object) -> Event:
    """An event with the required fields filled in."""
    return Event(**({"start_time_unix_nano": 1_793_577_607_871_509_334, "agent_id": "a/b"} | fields))


def one(redactor_: Redactor, **fields: object) -> RedactedEvent:
    """One event redacted as a message of its own."""
    return redactor_.redact([[event(**fields)]])[0][0]
