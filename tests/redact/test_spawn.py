"""A redactor works in a spawned process, made from its pickled configuration and keys alone."""

import pickle
import subprocess
import sys
from pathlib import Path

from pipeline.keys import Keys
from pipeline.redact.redactor import RedactionConfig, Redactor

TEXT = "write to marta.lindqvist" + "@example.org"
CHILD = """
import pickle, sys
config, keys, text = pickle.load(sys.stdin.buffer)
import pipeline.pool
from pipeline.redact.redactor import Redactor
assert not {"presidio_analyzer", "spacy", "numpy"} & set(sys.modules), "they must load at their first use"
print(Redactor(config, keys).redact_text(text).text)
"""


def test_another_process_gives_the_same_pseudonym(tmp_path: Path) -> None:
    config, keys = RedactionConfig(names="off"), Keys(tmp_path / "keys")
    here = Redactor(config, keys).redact_text(TEXT).text
    given = pickle.dumps((config, keys, TEXT))
    there = subprocess.run([sys.executable, "-c", CHILD], input=given, capture_output=True, check=True)
    assert there.stdout.decode().strip() == here
