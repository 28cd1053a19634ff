"""The incident page over a real kill switch, state database and store, asked as an ASGI app or served."""

import contextlib
import functools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
from support.incident import NOW_MS, seal_findings, story_state, story_store
from support.killswitch import FakeControl, people_tokens, running_switch
from support.respond import state_url

from pipeline.audit.store import Store
from pipeline.control_app import ControlApp, build_control_app
from pipeline.killswitch.switch import KillSwitch
from pipeline.redact.reasons import Redact
from pipeline.respond import inquiry
from pipeline.respond.companion import Companion
from pipeline.respond.config import RespondConfig
from pipeline.respond.insight import Insight
from pipeline.respond.links import Links
from pipeline.respond.messages import Outbox
from pipeline.respond.state import StateConfig, StateDatabase
from pipeline.web.key import subkey
from pipeline.web.site import Site
from schemas.finding import FindingRow

KEY = bytes(32)
ORIGIN = "http://testserver"


class Clock:
    """Milliseconds that a test moves."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class Stand:
    """Everything that one test looks at."""

    def __init__(
        self, app: ControlApp, switch: KillSwitch, control: FakeControl, state: StateDatabase, incident_id:
        str,
        folder: Path, clock: Clock,
    ) -> None:  # fmt: skip
        self.app = app
        self.switch = switch
        self.control = control
        self.state = state
        self.incident_id = incident_id
        self.folder = folder
        self.clock = clock
        self.url = ""
        self.links = Links(state, subkey(KEY, "links of pages"))

    @property
    def path(self) -> str:
        """The incident's page."""
        return f"/incidents/{self.incident_id}"

    def rows_to_seal(self) -> bytes:
        """What waits to be sealed of the incident."""
        return msgspec.json.encode(
            [row for _, row in Outbox(self.state, RespondConfig()).pending_appends(100)]
        )

    def link(self, person: str = "nora", valid_s: float = 3600) -> str:
        """The secret of a new one-time link."""
        return self.links.create(self.incident_id, person, self.clock(), valid_s)

    def client(self, address: str = "203.0.113.7", **headers: str) -> httpx.AsyncClient:
        """A browser that comes from that address."""
        transport = httpx.ASGITransport(self.app, client=(address, 40_000), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"origin": ORIGIN, **headers})

    @contextlib.asynccontextmanager
    async def signed_in(self, name: str, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        """A browser in which this person has typed their token."""
        async with self.client(**headers) as client:
            fields = {"token": f"{name}-token", "next": self.path}
            answer = await client.post("/incidents/session", data=fields)
            assert answer.status_code == 303, answer.text
            yield client


@contextlib.contextmanager
def stand(
    folder: Path,
    *,
    respond: RespondConfig | None = None,
    tokens: bool = True,
    finding: dict[str, Any] | None = None,
    store: Store | None = None,
    redact: Redact = lambda text, _: text,
) -> Iterator[Stand]:
    """The story's incident, its store and switch, and the pages over them. `store`: one that is there
    already."""
    config = respond or RespondConfig()
    clock, control = Clock(), FakeControl()
    state, incident_id = story_state(folder, config, **(finding or {}))
    impatient = StateDatabase(
        StateConfig(url=state_url(folder), busy_timeout_ms=100, retry_for_ms=200), config
    )
    if store is None:
        store = story_store(folder / "store")
        seal_findings(state, store, config)
    companion = Companion(
        functools.partial(look_once, store),
        state,
        config,
        now_ms=clock,
    )
    companion.start()
    options: dict[str, Any] = {"tokens": people_tokens()} if tokens else {}
    with running_switch(folder / "journal", control, now_ms=clock, **options) as switch:
        site = Site(
            switch,
            impatient,
            config,
            key=KEY,
            insight=companion.insight,
            redact=redact,
            now_ms=clock,
        )
        app = build_control_app(
            switch, lambda: {}, pages=lambda endpoints: site.routes(endpoints.authenticator)
        )
        yield Stand(app, switch, control, state, incident_id, folder, clock)
        app.close()
    companion.stop()
    state.close()


_LOOKED: dict[tuple[str, str], Insight] = {}


def look_once(store: Store, lead: FindingRow, latest_ms: int, limit_s: float) -> Insight:
    """As `inquiry.look`, asked once for each finding: no test here changes the store."""
    key = (str(store.name), lead.id)
    if key not in _LOOKED:
        _LOOKED[key] = inquiry.look(store, lead, latest_ms, limit_s)
    return _LOOKED[key]


def csrf_of(page: str) -> str:
    """The token in the forms of a page."""
    marker = 'name="csrf" value="'
    return page.partition(marker)[2].partition('"')[0]
