"""How the program ends."""

import subprocess
import sys

import pytest

BUSY = """
import sys, threading, time
import duckdb
from concurrent.futures import ThreadPoolExecutor
from pipeline.cli import leave

def look() -> None:
    while True:
        duckdb.sql("select sum(x) from range(20000) t(x)").fetchall()

threading.Thread(target=look, daemon=True).start()
ThreadPoolExecutor(1).submit(lambda: (time.sleep(0.3), print("sent", flush=True)))
sys.stdout.write("said")
leave(3)
"""


@pytest.mark.parametrize("_", range(3))
def test_a_query_that_was_left_behind_does_not_abort_the_end(_: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUSY], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (3, "")
    assert "said" in done.stdout and "sent" in done.stdout  # what was under way is finished, and flushed
