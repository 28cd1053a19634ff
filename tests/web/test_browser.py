"""The incident page in a real browser: on a phone and a desk, light and dark, without JavaScript.

Screenshots go to build/incident-page: look at them after a change.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.incident import AGENT
from support.web import Stand, stand

from pipeline.audit.store import Store
from pipeline.control_app import serve_in_thread
from schemas.command import Selector

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
SCREENS = {"phone": (360, 740), "desk": (1280, 900)}
PICTURES = Path(__file__).resolve().parents[2] / "build" / "incident-page"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def site(tmp_path: Path, story: Store) -> Iterator[Stand]:
    with stand(tmp_path, store=story) as one:
        one.switch.trip(
            Selector(agent=AGENT),
            "read_only",
            by="auditfuse",
            reason="error_spike: at least 30 steps failed within one minute",
            automatic=True,
            finding_id="fnd_1",
        )
        server = serve_in_thread(one.app, "127.0.0.1", 0)
        one.url = server.url
        yield one
        server.stop()


def opened(browser: Any, screen: str = "phone", scheme: str = "light") -> Any:
    """A page without JavaScript that notes what the browser complains of."""
    width, height = SCREENS[screen]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        java_script_enabled=False,
        device_scale_factor=2 if screen == "phone" else 1,
    )
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("requestfailed", lambda request: page.complaints.append(request.url))
    return page


def picture(page: Any, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", sorted(SCREENS))
def test_it_fits_the_screen_and_shows_the_plot(browser: Any, site: Stand, screen: str, scheme: str):
    page = opened(browser, screen, scheme)
    page.goto(f"{site.url}{site.path}?link={site.link()}")
    picture(page, f"{screen}-{scheme}")
    width = SCREENS[screen][0]
    assert page.locator("html").evaluate("e => e.scrollWidth") <= width, "it scrolls sideways"
    plot = page.locator("svg.plot:visible")
    assert plot.count() == 1
    assert plot.bounding_box()["width"] > width * 0.3
    assert page.get_by_role("button", name="I take it on").bounding_box()["height"] >= 44, "a thumb hits it"
    text = page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    assert (text == "rgb(17, 20, 24)") is (scheme == "dark")
    assert page.complaints == []
    page.context.close()


def test_a_person_answers_by_the_link_in_their_page(browser: Any, site: Stand):
    page = opened(browser)
    page.goto(f"{site.url}{site.path}?link={site.link('nora')}")
    page.get_by_role("button", name="I take it on").click()
    assert page.url == f"{site.url}{site.path}?done=ack"
    assert page.get_by_role("status").inner_text() == "You have taken it on."
    page.get_by_text("Stop the agent").click()
    page.get_by_label("Why (kept in the audit store)").first.fill("the partner is down")
    picture(page, "phone-trip")
    page.get_by_role("button", name="Trip the kill switch").click()
    assert "This agent is at off" in page.locator("body").inner_text()
    assert {trip.command.by for trip in site.switch.state.in_force} == {"auditfuse", "nora"}
    picture(page, "phone-tripped")
    page.get_by_text("Ask for a reset").first.click()
    page.get_by_label("What makes it safe again").first.fill("rolled back")
    page.get_by_role("button", name="Ask; another person approves").first.click()
    assert "You asked for it: another person must approve." in page.locator("body").inner_text()
    assert page.complaints == []
    page.context.close()


def test_a_person_signs_in_with_a_token_and_approves_what_another_asked_for(browser: Any, site: Stand):
    (trip,) = site.switch.status().trips
    site.switch.request_reset([trip.id], by="nora", reason="rolled back")
    page = opened(browser, "desk")
    page.goto(f"{site.url}/incidents")
    assert "Nothing" not in page.locator("h1").inner_text()
    picture(page, "desk-list")
    page.get_by_text("Sign in", exact=True).click()
    page.get_by_label("Your token").fill("aldo-token")
    page.get_by_role("button", name="Sign in for an hour").click()
    page.get_by_role("link", name=AGENT).first.click()
    page.get_by_label("What you checked").fill("1.4.2 runs everywhere")
    picture(page, "desk-approve")
    page.get_by_role("button", name="Approve the reset").click()
    assert page.get_by_role("status").inner_text() == "The reset is approved."
    assert not site.switch.state.in_force
    page.get_by_role("button", name="Sign out").click()
    assert page.get_by_text("aldo").count() == 0
    page.context.close()


def test_another_site_that_posts_the_form_in_the_persons_browser_gets_nothing(browser: Any, site: Stand):
    page = opened(browser)
    page.goto(f"{site.url}{site.path}?link={site.link('nora')}")
    page.get_by_role("button", name="I take it on").click()
    # The same machine under another name is another site to the browser.
    elsewhere = site.url.replace("127.0.0.1", "localhost")
    trap = f'<form method="post" action="{site.url}{site.path}/resolve"><button>Win a prize</button></form>'
    page.route(f"{elsewhere}/evil", lambda route: route.fulfill(content_type="text/html", body=trap))
    page.goto(f"{elsewhere}/evil")
    page.get_by_role("button").click()
    assert "this order came from another site" in page.locator("body").inner_text()
    assert site.state.incident(site.incident_id).incident.status == "acknowledged"
    page.context.close()
