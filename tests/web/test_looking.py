"""Looking at the incident page: who may, that it changes nothing, and that what agents wrote stays text."""

import hashlib
import re
from pathlib import Path

import pytest
from support.incident import AGENT, TRIP_ID
from support.web import Stand, stand

from pipeline.respond.config import RespondConfig
from schemas.command import Selector

LOCAL = "127.0.0.1"
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}\u202egnp.exe"


def footprint(folder: Path) -> dict[str, str]:
    """The bytes of all that is kept, but for the journal, which is tidied on its own time."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
    files = [path for path in files if "journal" not in path.parts]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


async def test_looking_changes_nothing_whoever_looks(site: Stand):
    secret = site.link("nora")
    trip = site.switch.trip(Selector(agent=AGENT), "off", by="carl", reason="r")
    assert site.switch.wait_sealed(trip.id, 30)
    digest = site.switch.state.digest
    rows = list(site.control.rows)
    async with site.signed_in("aldo") as aldo:
        await aldo.get(site.path)  # what is read once is cached then
        before = footprint(site.folder)
        paths = [site.path, f"{site.path}?done=trip", f"{site.path}?link={secret}", "/incidents"]
        paths += [
            f"{site.path}/{kind}?reason=r&mode=off&link={secret}" for kind in ("ack", "trip", "resolve")
        ]
        for client in (
            site.client(),
            aldo,
            site.client(LOCAL),
            site.client(authorization="Bearer rita-token"),
        ):
            for path in paths:
                for method in ("GET", "HEAD"):
                    answer = await client.request(method, path)
                    assert answer.status_code in (200, 401, 403, 405), (path, answer.status_code)
                    assert "set-cookie" not in answer.headers
    assert footprint(site.folder) == before
    assert site.control.rows == rows
    assert site.switch.state.digest == digest
    assert site.links.look(secret, site.clock()) is not None


async def test_who_may_view_sees_it(site: Stand):
    assert (await site.client().get(site.path)).status_code == 401
    assert (await site.client().get("/incidents")).status_code == 401
    assert (await site.client(authorization="Bearer vera-token").get(site.path)).status_code == 200
    assert (await site.client(authorization="Bearer bot-token").get(site.path)).status_code == 403
    assert (await site.client(authorization="Bearer nobody").get(site.path)).status_code == 401
    here = site.client(LOCAL, host="localhost:8420")
    assert (await here.get(site.path)).status_code == 200
    assert (
        await site.client(LOCAL, host="localhost", **{"x-forwarded-for": "1.2.3.4"}).get(site.path)
    ).status_code == 401


async def test_a_name_that_was_pointed_at_this_machine_reads_nothing(site: Stand):
    """DNS rebinding: the browser is here, the site that asks is not."""
    for host in ("evil.example", "evil.example:8420", "localhost.evil.example", "127.0.0.1.evil.example"):
        assert (await site.client(LOCAL, host=host).get(site.path)).status_code == 401


@pytest.mark.parametrize(
    "path", ["/incidents/inc_x", "/incidents/%2e%2e", "/incidents/inc_" + "0" * 24 + "-1"]
)
async def test_what_is_not_there_is_404(site: Stand, path: str):
    answer = await site.client(authorization="Bearer vera-token").get(path)
    assert answer.status_code == 404
    assert "Traceback" not in answer.text


async def test_every_answer_keeps_itself_to_itself(site: Stand):
    for client, path in (
        (site.client(), site.path),
        (site.client(LOCAL, host="localhost"), site.path),
        (site.client(LOCAL, host="localhost"), "/incidents"),
        (site.client(LOCAL, host="localhost"), "/incidents/nothing"),
    ):
        answer = await client.get(path)
        policy = answer.headers["content-security-policy"]
        assert (
            "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "script" not in policy
        )
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "<script" not in answer.text and " style=" not in answer.text
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//", answer.text), (
            "it fetches nothing from elsewhere"
        )


async def test_the_page_says_what_a_person_needs(site: Stand):
    text = (await site.client(LOCAL, host="localhost").get(site.path)).text
    for needed in (
        f"{AGENT} in production",
        "30 in the worst minute, 0 a minute in the hour before",
        f"tripped to read_only ({TRIP_ID})",
        "2026-01-01 01:40:00 UTC",
        "new version 1.5.0 of the agent",
        "target crm.example fails for 2 of 3 other agents too",
        "<svg",
        "First five minutes",
        "select * from events where environment = &#39;production&#39;",
        f"{81:032x}",
        "page (opened) to console",
    ):
        assert needed in text, needed


async def test_what_agents_wrote_stays_text(tmp_path: Path, story):
    evil = dict.fromkeys(("agent_id", "environment", "summary", "detector"), EVIL)
    evil |= {"facts": {EVIL: EVIL}, "key": {EVIL: EVIL}}
    with stand(tmp_path, store=story, finding=evil) as site:
        site.switch.trip(
            Selector(agent=EVIL, environment=EVIL), "off", by=EVIL.replace("\u202e", ""), reason=EVIL
        )
        client = site.client(authorization="Bearer vera-token")
        for path in (site.path, "/incidents"):
            text = (await client.get(path)).text
            assert "<script" not in text and "<img" not in text and "onerror=alert" in text
            assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
            assert (
                "49"
                not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL).partition("{{7*7}}")[0][-20:]
            )
            assert "\u202e" not in text, "text that turns round"
            assert "{{7*7}}" in text


def take_away_database(site: Stand) -> None:
    site.state.close()
    for path in site.folder.glob("state.db*"):
        path.unlink()
    (site.folder / "state.db").mkdir()


async def test_a_state_database_that_is_away_is_told_and_where_the_switch_still_is(tmp_path: Path, story):
    with stand(tmp_path, store=story, respond=RespondConfig()) as site:
        take_away_database(site)
        answer = await site.client(authorization="Bearer vera-token").get(site.path)
        assert answer.status_code == 503
        assert "auditfuse killswitch trip --agent NAME" in answer.text


async def test_a_link_that_a_chat_opened_finds_its_session_by_one_more_request(site: Stand):
    """The cookie is for this site alone: it does not come along from elsewhere, but from the page itself."""
    followed = await site.client().get(site.path, headers={"sec-fetch-site": "cross-site"})
    assert f'content="0;url={site.path}"' in followed.text
    again = await site.client().get(site.path, headers={"sec-fetch-site": "same-origin"})
    assert "refresh" not in again.text
