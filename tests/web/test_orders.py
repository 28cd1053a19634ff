"""What people order on the incident page: who may, how often, and that nobody else's form is obeyed."""

import httpx
import pytest
from support.incident import AGENT
from support.web import Stand, csrf_of, stand

from pipeline.respond.config import RespondConfig
from pipeline.web.sessions import COOKIE
from schemas.command import Selector

REASON = "the partner is down"


async def order(client: httpx.AsyncClient, site: Stand, kind: str, **fields: str) -> httpx.Response:
    """An order with the token of the page's own forms."""
    page = await client.get(site.path)
    return await client.post(f"{site.path}/{kind}", data={"csrf": csrf_of(page.text), **fields})


def tripped(site: Stand, *, automatic: bool = False) -> str:
    return site.switch.trip(
        Selector(agent=AGENT), "off", by="carl", reason="r", automatic=automatic, finding_id="fnd_1"
    ).id


async def test_a_person_takes_it_on_and_resolves_it_with_a_verdict(site: Stand):
    async with site.signed_in("rita") as client:
        answer = await order(client, site, "ack")
        assert (answer.status_code, answer.headers["location"]) == (303, f"{site.path}?done=ack")
        assert site.state.incident(site.incident_id).incident.status == "acknowledged"
        page = await client.get(answer.headers["location"])
        assert "You have taken it on." in page.text
        assert "acknowledged by" not in page.text and ">acknowledged</strong> by rita" in page.text
        answer = await order(client, site, "resolve", verdict="real", reason="rolled back")
        assert answer.status_code == 303
    incident = site.state.incident(site.incident_id).incident
    assert (incident.status, incident.verdict) == ("resolved", "real")


async def test_a_person_trips_and_the_record_says_who_and_from_which_finding(site: Stand):
    async with site.signed_in("rita") as client:
        answer = await order(client, site, "trip", mode="off", where="here", reason=REASON, minutes="30")
        assert answer.status_code == 303
        (trip,) = site.switch.status().trips
        assert (trip.by, trip.mode, trip.reason) == ("rita", "off", REASON)
        assert (trip.selector.agent, trip.selector.environment) == (AGENT, "production")
        assert trip.until_ms == site.clock() + 30 * 60_000
        assert trip.finding_id == site.state.incident(site.incident_id).lead.id
        page = await client.get(site.path)
        assert "This agent is at <strong>off</strong>" in page.text
        answer = await order(client, site, "trip", mode="read_only", where="everywhere", reason=REASON)
        assert answer.status_code == 303
        assert {trip.selector.environment for trip in site.switch.status().trips} == {"production", None}


async def test_a_reset_takes_two_people(site: Stand):
    trip = tripped(site)
    async with site.signed_in("aldo") as aldo, site.signed_in("abel") as abel:
        assert (await order(aldo, site, "reset", trip=trip, mode="on", reason="fixed")).status_code == 303
        (request,) = site.switch.status().requests
        again = await order(aldo, site, "approve", request=request.id, reason="it is")
        assert again.status_code == 409
        assert "another person must approve it" in again.text
        assert site.switch.state.in_force
        assert (await order(abel, site, "approve", request=request.id, reason="it is")).status_code == 303
    assert not site.switch.state.in_force


async def test_an_automatic_trip_is_stepped_down_by_one(site: Stand):
    trip = tripped(site, automatic=True)
    async with site.signed_in("rita") as client:
        assert (await order(client, site, "step-down", trip=trip, reason="reads are safe")).status_code == 303
    assert [one.mode for one in site.switch.state.in_force] == ["read_only"]


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("vera", "ack", 403),
        ("vera", "trip", 403),
        ("rita", "approve", 403),
        ("vera", "resolve", 403),
        ("rita", "fly", 404),
    ],
)
async def test_who_may_not_is_refused(site: Stand, name: str, kind: str, status: int):
    async with site.signed_in(name) as client:
        page = await client.get(site.path)
        fields = {"csrf": csrf_of(page.text), "mode": "off", "reason": "r", "request": "x"}
        answer = await client.post(f"{site.path}/{kind}", data=fields)
    assert answer.status_code == status
    assert site.state.incident(site.incident_id).incident.status == "open"
    assert not site.switch.state.in_force


@pytest.mark.parametrize("wrong", [{"reason": "r"}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "é"}])
async def test_a_form_of_no_session_is_refused(site: Stand, wrong: dict[str, str]):
    async with site.signed_in("rita") as client:
        assert (await client.post(f"{site.path}/ack", data=wrong)).status_code == 403
    assert site.state.incident(site.incident_id).incident.status == "open"


async def test_the_form_of_another_session_is_refused(site: Stand):
    async with site.signed_in("rita") as rita, site.signed_in("aldo") as aldo:
        foreign = csrf_of((await aldo.get(site.path)).text)
        assert (await rita.post(f"{site.path}/ack", data={"csrf": foreign})).status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://testserver.evil.example", ""])
async def test_another_site_sends_no_orders(site: Stand, origin: str):
    async with site.signed_in("rita") as client:
        csrf = csrf_of((await client.get(site.path)).text)
        answer = await client.post(f"{site.path}/ack", data={"csrf": csrf}, headers={"origin": origin})
        assert answer.status_code == 403
        data = {"link": site.link()}
        other = site.client()
        assert (
            await other.post(f"{site.path}/ack", data=data, headers={"origin": origin})
        ).status_code == 403
    assert site.state.incident(site.incident_id).incident.status == "open"


async def test_a_link_is_good_for_one_order_and_begins_a_session_for_this_incident(site: Stand):
    secret = site.link("nora")
    client = site.client()
    for _ in range(3):  # mail scanners, chats, a reload
        page = await client.get(f"{site.path}?link={secret}")
        assert "Answer as nora" in page.text
        assert COOKIE not in client.cookies
    answer = await client.post(f"{site.path}/ack", data={"link": secret})
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/incidents" in cookie
    assert "Max-Age=3600" in cookie
    assert site.state.incident(site.incident_id).incident.status == "acknowledged"
    replayed = await site.client().post(f"{site.path}/resolve", data={"link": secret})
    assert replayed.status_code == 401
    assert "was used before" in replayed.text
    answer = await order(client, site, "resolve", verdict="real")
    assert answer.status_code == 303
    assert (await client.get("/incidents")).status_code == 403, "its session is for one incident"


async def test_a_link_trips_and_never_approves(site: Stand):
    trip = tripped(site)
    async with site.signed_in("aldo") as aldo:
        await order(aldo, site, "reset", trip=trip, mode="on", reason="fixed")
    (request,) = site.switch.status().requests
    secret, client = site.link("abel"), site.client()
    fields = {"link": secret, "request": request.id, "reason": "it is"}
    assert (await client.post(f"{site.path}/approve", data=fields)).status_code == 403
    assert site.switch.state.in_force
    trip_fields = {"link": secret, "mode": "off", "where": "everywhere", "reason": REASON}
    assert (await client.post(f"{site.path}/trip", data=trip_fields)).status_code == 303, "it was not used up"
    assert {one.command.by for one in site.switch.state.in_force} == {"carl", "abel"}


async def test_an_expired_link_and_one_of_another_incident_are_refused(site: Stand):
    client = site.client()
    other = site.links.create("inc_" + "0" * 24 + "-1", "nora", site.clock(), 3600)
    late = site.link(valid_s=60)
    site.clock.now_ms += 60_000
    for secret in (other, late, "guessed", ""):
        assert (await client.post(f"{site.path}/ack", data={"link": secret})).status_code == 401
        assert (await client.get(f"{site.path}?link={secret}")).status_code in (401, 403)
    assert site.state.incident(site.incident_id).incident.status == "open"


async def test_a_session_ends_after_an_hour_and_with_its_token(tmp_path, site: Stand):
    async with site.signed_in("rita") as client:
        assert (await client.get(site.path)).status_code == 200
        site.clock.now_ms += 3_600_000
        assert (await client.get(site.path)).status_code == 401


async def test_a_forged_or_changed_cookie_is_nobodys(site: Stand):
    async with site.signed_in("vera") as client:
        cookie = client.cookies[COOKIE]
    content, _, signature = cookie.partition(".")
    changed = content[:-4] + ("AAAA" if content[-4:] != "AAAA" else "BBBB")
    for forged in (f"{changed}.{signature}", content, f"{content}.", f".{signature}", "x" * 5000, "é"):
        answer = await site.client().get(site.path, headers={"cookie": f"{COOKIE}={forged}".encode()})
        assert answer.status_code == 401, forged


async def test_a_wrong_token_is_refused_and_leads_nowhere_else(site: Stand):
    client = site.client()
    answer = await client.post("/incidents/session", data={"token": "no", "next": site.path})
    assert answer.status_code == 401 and "set-cookie" not in answer.headers
    answer = await client.post("/incidents/session", data={"token": "bot-token", "next": site.path})
    assert answer.status_code == 401, "an agent's token is not a person's"
    for goal in (
        "https://evil.example",
        "//evil.example",
        "/incidents/../v1",
        "/metrics",
        site.path + "\r\nx: y",
    ):
        answer = await client.post("/incidents/session", data={"token": "rita-token", "next": goal})
        assert (answer.status_code, answer.headers["location"]) == (303, "/incidents")


async def test_the_machines_own_token_needs_a_name_and_this_machine(tmp_path, story):
    with stand(tmp_path, store=story, tokens=False) as site:
        token = (site.switch.config.journal / "operator.token").read_text().strip()
        local = site.client("127.0.0.1")
        answer = await local.post("/incidents/session", data={"token": token})
        assert answer.status_code == 400 or answer.status_code == 401
        fields = {"token": token, "by": "olga", "next": site.path}
        assert (await local.post("/incidents/session", data=fields)).status_code == 303
        assert (await order(local, site, "ack")).status_code == 303
        away = site.client()
        assert (await away.post("/incidents/session", data=fields)).status_code == 401
        # The same cookie from elsewhere is nobody's: the token behind it is not good there.
        moved = site.client(cookie=f"{COOKIE}={local.cookies[COOKIE]}")
        assert (await moved.get(site.path)).status_code == 401


async def test_a_bearer_token_orders_without_a_form_of_ours(site: Stand):
    client = site.client(authorization="Bearer rita-token")
    assert (await client.post(f"{site.path}/ack", data={"reason": "r"})).status_code == 303
    stranger = site.client(authorization="Bearer nobody")
    assert (await stranger.post(f"{site.path}/resolve", data={"reason": "r"})).status_code == 401


@pytest.mark.parametrize(
    ("kind", "fields", "status"),
    [
        ("trip", {"mode": "off", "reason": " "}, 400),
        ("trip", {"mode": "on", "reason": "r"}, 400),
        ("trip", {"mode": "off", "reason": "r", "minutes": "-5"}, 400),
        ("resolve", {"verdict": "maybe"}, 400),
        ("reset", {"trip": "trip_none", "mode": "on", "reason": "r"}, 404),
        ("approve", {"request": "reset_none", "reason": "r"}, 404),
    ],
)
async def test_nonsense_is_told_on_the_page_and_changes_nothing(site: Stand, kind, fields, status):
    async with site.signed_in("aldo") as client:
        answer = await order(client, site, kind, **fields)
    assert answer.status_code == status
    assert "Not done:" in answer.text
    assert not site.switch.state.in_force
    assert site.state.incident(site.incident_id).incident.status == "open"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"a=" + b"x" * 70_000, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"f%d=1" % i for i in range(50)), "application/x-www-form-urlencoded", 400),
        (b"csrf=1&csrf=2", "application/x-www-form-urlencoded", 400),
        (b"\xff\xfe=%zz", "application/x-www-form-urlencoded", 400),
        (b"{}", "application/json", 415),
    ],
)
async def test_bodies_that_are_no_forms_are_refused(site: Stand, body: bytes, kind: str, status: int):
    async with site.signed_in("rita") as client:
        answer = await client.post(f"{site.path}/ack", content=body, headers={"content-type": kind})
    assert answer.status_code == status


async def test_reasons_are_redacted_before_they_are_kept(tmp_path, story):
    with stand(tmp_path, store=story, redact=lambda text, _: text.replace("4111", "<CARD>")) as site:
        async with site.signed_in("rita") as client:
            await order(client, site, "resolve", reason="card 4111", verdict="false")
        rows = site.rows_to_seal()
    assert b"<CARD>" in rows and b"4111" not in rows


async def test_cookies_go_over_tls_alone_where_the_page_does(tmp_path, story):
    respond = RespondConfig(public_url="https://testserver")
    with stand(tmp_path, store=story, respond=respond) as site:
        client = site.client(origin="https://testserver")
        answer = await client.post("/incidents/session", data={"token": "rita-token"})
        assert answer.status_code == 303
        assert "Secure" in answer.headers["set-cookie"]
