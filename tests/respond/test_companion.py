"""What goes along with a page: ready in time or left out, a plot where one is taken, a link for one
reader."""

import base64
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr
from support.incident import NOW_MS, ONSET_MS, story_state
from support.respond import paging_to, state_url
from support.webhook import running_webhook

from pipeline.errors import StoreError
from pipeline.respond.causes import Cause
from pipeline.respond.companion import Companion, Extras, Look
from pipeline.respond.config import RespondConfig
from pipeline.respond.insight import Insight
from pipeline.respond.links import Links
from pipeline.respond.outbox import Deliverer
from pipeline.respond.pager import ApprisePager
from pipeline.respond.plan import Message
from pipeline.respond.series import Series
from pipeline.respond.state import StateConfig, StateDatabase
from pipeline.respond.targets import Target
from schemas.finding import FindingRow

SERIES = Series(start_ms=NOW_MS - 600_000, hits=[0] * 8 + [30, 20], rows=[5] * 10, onset_ms=NOW_MS - 120_000)
CAUSE = Cause(
    kind="version", what="new version 2", at_ms=NOW_MS - 180_000, evidence="first", sql="select 1", weight=1
)
INSIGHT = Insight(causes=[CAUSE], series=SERIES)
PUBLIC = "https://auditfuse.example.com"


def answer(*_: Any) -> Insight:
    return INSIGHT


class Hanging:
    """A store that answers when it is let go."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def __call__(self, *_: Any) -> Insight:
        self.gate.wait(30)
        return INSIGHT


def message(incident_id: str, *, age_ms: int = 0, **changes: Any) -> Message:
    fields: dict[str, Any] = {
        "seq": 1, "page_id": f"{incident_id}/1", "target": "hook", "change": "opened",
        "incident_id": incident_id,
        "severity_rank": 2, "attempts": 0, "created_at_ms": NOW_MS - age_ms, "resolved": False,
    }  # fmt: skip
    return Message(**(fields | changes))


def extras(
    folder: Path,
    look: Look,
    config: RespondConfig,
    *,
    links: bool = False,
    plots: bool = True,
    **message_changes: Any,
) -> Extras:
    state, incident_id = story_state(folder)
    companion = Companion(
        look,
        state,
        config,
        links=Links(state, bytes(32)) if links else None,
        plots=plots,
        now_ms=lambda: NOW_MS,
    )
    companion.start()
    detail = state.incident(incident_id)
    try:
        return companion.extras(detail.incident, detail.lead, message(incident_id, **message_changes))
    finally:
        if isinstance(look, Hanging):
            look.gate.set()
        companion.stop()


def target(**changes: Any) -> RespondConfig:
    options = {name: changes.pop(name) for name in ("plot", "person") if name in changes}
    fields: dict[str, Any] = {"name": "hook", "url": SecretStr("json://localhost"), **options}
    return RespondConfig(
        targets=(Target(**fields),), insight_wait_s=changes.pop("insight_wait_s", 5), **changes
    )


def test_causes_and_a_plot_go_along(tmp_path: Path):
    pytest.importorskip("matplotlib", reason="Matplotlib (the extra `plots`) is not installed")
    got = extras(tmp_path, answer, target())
    assert got.insight == INSIGHT
    assert got.plot is not None and got.plot.startswith(b"\x89PNG")
    assert got.link is None, "no public_url"


@pytest.mark.parametrize("age_ms", [0, 60_000])
def test_a_page_is_never_late_for_what_hangs(tmp_path: Path, age_ms: int):
    began = time.monotonic()
    got = extras(tmp_path, Hanging(), target(insight_wait_s=0.2), age_ms=age_ms)
    assert got.insight is None and got.plot is None
    assert time.monotonic() - began < 2
    if age_ms:
        assert time.monotonic() - began < 1


def test_where_answers_take_longer_than_a_page_waits_none_is_waited_for(tmp_path: Path):
    """A busy machine: the wait would only make the page late. Once they are in time, they go along again."""
    state, incident_id = story_state(tmp_path)
    takes_s = [0.3]

    def look(*_: Any) -> Insight:
        time.sleep(takes_s[0])
        return INSIGHT

    companion = Companion(look, state, target(insight_wait_s=0.2), now_ms=lambda: NOW_MS)
    companion.start()
    detail = state.incident(incident_id)
    leads = [msgspec.structs.replace(detail.lead, id=f"fnd_{n}") for n in range(9)]

    def waited(lead: FindingRow) -> tuple[float, bool]:
        began = time.monotonic()
        got = companion.extras(detail.incident, lead, message(incident_id))
        took_s = time.monotonic() - began
        companion.insight(lead, 10)  # it is asked and answered all the same
        return took_s, got.insight is not None

    assert all(waited(lead)[0] > 0.15 for lead in leads[:3])
    assert waited(leads[3])[0] < 0.15
    takes_s[0] = 0.0
    waited(leads[4])
    assert waited(leads[5])[1]
    companion.stop()


def test_what_fails_is_left_out(tmp_path: Path):
    def fail(*_: Any) -> Insight:
        raise StoreError("no")

    assert extras(tmp_path, fail, target()) == Extras(None, None, None)


def test_a_repeated_attempt_brings_no_plot(tmp_path: Path):
    """A service may have taken the text and refused the picture."""
    assert extras(tmp_path, answer, target(), attempts=1).plot is None


def test_a_target_that_wants_no_plot_gets_none(tmp_path: Path):
    assert extras(tmp_path, answer, target(plot=False)).plot is None


def test_without_matplotlib_there_is_no_plot_and_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    got = extras(tmp_path, answer, target())
    assert got.insight == INSIGHT and got.plot is None


def test_a_link_is_bound_where_the_target_has_one_reader_and_the_same_at_each_attempt(tmp_path: Path):
    plain = extras(tmp_path / "a", answer, target(public_url=PUBLIC), links=True).link
    assert plain is not None and "?" not in plain and plain.startswith(f"{PUBLIC}/incidents/inc_")
    (tmp_path / "b").mkdir()
    bound = [
        extras(
            tmp_path / name, answer, target(public_url=PUBLIC, person="nora"), links=True, attempts=attempts
        ).link
        for name, attempts in (("b", 0), ("c", 3))
    ]
    assert bound[0] == bound[1] and bound[0] is not None and "?link=" in bound[0]
    state = StateDatabase(StateConfig(url=state_url(tmp_path / "b")))
    link = Links(state, bytes(32)).look(bound[0].partition("?link=")[2], NOW_MS)
    assert link is not None and link.person == "nora"


def test_a_link_needs_a_database_that_can_be_written_and_a_page_does_not(tmp_path: Path):
    state, incident_id = story_state(tmp_path)
    impatient = StateDatabase(StateConfig(url=state_url(tmp_path), busy_timeout_ms=50, retry_for_ms=0))
    config = target(public_url=PUBLIC, person="nora")
    companion = Companion(answer, impatient, config, links=Links(impatient, bytes(32)), now_ms=lambda: NOW_MS)
    companion.start()
    detail = state.incident(incident_id)
    holding = threading.Event()

    def hold(connection: Any) -> None:
        companion_link.append(companion.extras(detail.incident, detail.lead, message(incident_id)).link)
        holding.set()

    companion_link: list[str | None] = []
    state.write(hold)  # while the only writer's lock is held
    companion.stop()
    assert companion_link == [f"{PUBLIC}/incidents/{incident_id}"]


def test_a_page_arrives_with_causes_and_its_plot(tmp_path: Path):
    pytest.importorskip("matplotlib", reason="Matplotlib (the extra `plots`) is not installed")
    with running_webhook() as webhook:
        config = paging_to(webhook.url, public_url=PUBLIC, insight_wait_s=5)
        state, incident_id = story_state(tmp_path, config)
        just_now = ONSET_MS + 62_000
        companion = Companion(answer, state, config, plots=True, now_ms=lambda: just_now)
        companion.start()
        deliverer = Deliverer(
            state, lambda rows: None, ApprisePager(config), config, lambda: just_now, companion=companion
        )
        deliverer.drain_once()
        companion.stop()
        (page,) = webhook.requests
    assert "30 in the worst minute" in page["title"]
    assert "1. new version 2 (2026-01-01 01:49:00 UTC): first" in page["message"]
    assert f"open: {PUBLIC}/incidents/{incident_id}" in page["message"]
    (attached,) = page["attachments"]
    assert base64.b64decode(attached["base64"]).startswith(b"\x89PNG")
    assert attached["mimetype"] == "image/png"
