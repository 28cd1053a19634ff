"""kill -9 between the steps: nothing lost, one incident one page at a webhook that deduplicates."""

import os
import subprocess
import sys
from pathlib import Path

from support.page_trials import kills
from support.webhook import Webhook, running_webhook

TESTS = Path(__file__).parents[1]
CHILD = Path(__file__).with_name("crash_child.py")
STEPS = 7
AFTER_SEND = 1
"""The only step whose crash repeats a page: it was sent and not marked."""


def run_child(webhook: Webhook, directory: Path, what: str) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"}
    command = [sys.executable, str(CHILD), webhook.url, str(directory), what]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]


def sealed(directory: Path) -> list[str]:
    return (directory / "sealed").read_text().split()


def test_killed_at_each_step_pages_once(tmp_path: Path) -> None:
    with running_webhook() as webhook:
        run_child(webhook, tmp_path, "steps")
        assert len(webhook.by_dedup_key) == STEPS
        assert sum(webhook.repeats.values()) == AFTER_SEND
    for number in range(STEPS):
        rows = sealed(tmp_path / f"step-{number}")
        assert len(rows) == len(set(rows)) == 2


def test_killed_at_random_moments_each_is_told_once_or_once_more(tmp_path: Path) -> None:
    with running_webhook() as webhook:
        made = kills(tmp_path, webhook, 6)
    assert made.told == made.incidents == 7
    assert made.most_repeats <= 1
    assert made.sealed_twice == 0
