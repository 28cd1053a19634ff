"""Who must not, at the incident page: refused, counted; and the flags stay as fast as ever meanwhile."""

import concurrent.futures
import statistics
import time

import httpx
import pytest
from support.web import Stand, csrf_of

from pipeline import metrics
from pipeline.control_app import serve_in_thread
from pipeline.killswitch.http import MAX_BODY_BYTES

FLAG = "/ofrep/v1/evaluate/flags/agent.enabled"
FORM = {"content-type": "application/x-www-form-urlencoded"}
FLAG_WITHIN_S = 0.1


def refused(why: str) -> float:
    return metrics.control_refusals.labels(why)._value.get()


async def test_attempts_on_the_page_are_counted_and_change_nothing(site: Stand):
    before = refused("page")
    used = site.link("nora")
    async with site.client() as nora:
        assert (await nora.post(f"{site.path}/ack", data={"link": used})).status_code == 303
    for wrong in ({"link": used}, {"link": "x" * 43}, {}):  # replayed, forged, none at all
        async with site.client() as client:
            assert (await client.post(f"{site.path}/trip", data={**wrong, "mode": "off"})).status_code == 401
    for name in ("bot", "nobody"):  # an agent's token, and one that nobody has
        async with site.client(authorization=f"Bearer {name}-token") as client:
            answer = await client.post(f"{site.path}/trip", data={"mode": "off", "reason": "r"})
            assert answer.status_code in (401, 403)
    async with site.signed_in("vera") as viewer:
        csrf = csrf_of((await viewer.get(site.path)).text)
        assert (await viewer.post(f"{site.path}/trip", data={"csrf": csrf, "mode": "off"})).status_code == 403
    assert refused("page") - before == 6
    assert not site.switch.state.in_force


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"a=" + b"x" * MAX_BODY_BYTES, FORM, 413),
        (b"\xff=%zz", FORM, 400),
        (b"a=1&a=2", FORM, 400),
        (b"&".join(b"f%d=1" % n for n in range(1000)), FORM, 400),
        (b"{}", {"content-type": "application/json"}, 415),
    ],
    ids=["too large", "no text", "a field twice", "a thousand fields", "no form"],
)
async def test_bodies_that_are_none_are_refused_and_counted(site: Stand, body, kind, status):
    before = refused("body")
    async with site.client() as client:
        assert (await client.post(f"{site.path}/ack", content=body, headers=kind)).status_code == status
    assert refused("body") - before == 1


def test_the_flags_are_fast_while_the_page_is_tried_and_looked_at(site: Stand):
    """Tokens are guessed, huge forms are sent and pages drawn, all at once."""
    server = serve_in_thread(site.app, "127.0.0.1", 0)
    until = time.monotonic() + 1.5

    def guess(number: int) -> None:
        with httpx.Client(base_url=server.url, trust_env=False, headers={"origin": server.url}) as client:
            kinds = (
                lambda: client.post("/incidents/session", data={"token": "wrong"}, timeout=20),
                lambda: client.post(f"{site.path}/ack", content=b"a=" + b"x" * 10**6, headers=FORM),
                lambda: client.get(site.path, headers={"authorization": "Bearer vera-token"}, timeout=20),
            )
            while time.monotonic() < until:
                kinds[number % 3]()

    took: list[float] = []
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        tried = [pool.submit(guess, number) for number in range(6)]
        with httpx.Client(base_url=server.url, trust_env=False) as asking:
            while time.monotonic() < until:
                began = time.monotonic()
                assert asking.post(FLAG, json={"context": {"targetingKey": "a"}}).status_code == 200
                took.append(time.monotonic() - began)
        for one in tried:
            one.result()
    server.stop()
    assert statistics.median(took) < FLAG_WITHIN_S
    assert len(took) > 20
