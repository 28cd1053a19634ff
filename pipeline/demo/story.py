"""The story, scene by scene. Everything in it is real: processes, HTTP, redaction, chain, pages, trips."""

import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.padding import Padding

from pipeline.demo.agent import DemoAgent
from pipeline.demo.service import DemoService
from pipeline.demo.tamper import tamper_with_one_row
from pipeline.demo.webhook import Webhook
from pipeline.errors import AuditfuseError
from pipeline.generate.agents import READ_TOOLS, Agent

FOLDER = Path("auditfuse-demo")
PAGE_TIMEOUT_S = 90.0
"""How long a scene waits for its page: usually two or three seconds, on a machine busy with other things a
minute for the first one."""
_T = TypeVar("_T")
QUERIES = (
    "select action, outcome, count(*) from events group by all order by 3 desc",
    "select detector, summary from findings",
    "select start_time_unix_nano, action, outcome, principal from events"
    " where agent_id = 'payments-agent' order by 1 desc limit 5",
)


def tell() -> None:
    """Play all scenes. Raises AuditfuseError where one of them does not come out as promised."""
    story = Story(Console(highlight=False), fresh_folder(FOLDER))
    began = time.monotonic()
    with story.running():
        story.healthy_work()
        story.write_burst()
        story.error_spike()
        story.refused_authorizations()
        story.second_agent()
    story.audit()
    story.epilogue(time.monotonic() - began)


def fresh_folder(path: Path) -> Path:
    """An empty folder at `path`; only an earlier demo's folder is ever replaced."""
    if path.exists():
        if not (path / "demo.log").exists() and any(path.iterdir()):
            raise AuditfuseError(f"{path} exists and is not from a demo; move it away or run elsewhere")
        shutil.rmtree(path)
    path.mkdir()
    return path


class Story:
    """Holds the actors; each public method is a scene."""

    def __init__(self, console: Console, folder: Path) -> None:
        self._console = console
        self._folder = folder
        self._webhook = Webhook()
        self._service = DemoService(folder, self._webhook.port)
        self._invoice = self._agent("invoice-agent", obeys=True, seed=1)
        self._payments = self._agent("payments-agent", obeys=False, seed=2)

    @contextmanager
    def running(self) -> Generator[None]:
        """auditfuse as a process of its own, as `auditfuse run` starts it."""
        self._title("auditfuse: the black-box recorder and the fuse for AI agents")
        self._say(
            "`auditfuse run` records two agents that process invoices. They send each step over HTTP; "
            "pages go to a webhook, as they would to a chat or a pager. "
            f"Everything is kept in ./{self._folder}/."
        )
        self._service.start()
        try:
            yield
        finally:
            self._service.stop()
            self._webhook.close()

    def healthy_work(self) -> None:
        """Ordinary traffic, with personal data in it."""
        self._title("1. A quiet morning")
        self._invoice.healthy(calls=24, per_second=12)
        self._payments.healthy(calls=6, per_second=12)
        vendor = next(event for event in self._invoice.sent if event.action == "get_vendor")
        self._say("Both agents work. What one of them got back from a tool, as it was sent:")
        self._quote(msgspec.json.encode(vendor.output).decode(), "yellow")
        self._say("The same as it is stored. The personal data never reached the disk:")
        stored = self._until(lambda: self._service.stored_output(vendor.span_id or ""))
        if stored is None:
            raise AuditfuseError("the event was not stored in time; see demo.log")
        self._quote(stored, "green")

    def write_burst(self) -> None:
        """A loop in the agent: the page comes, the switch trips, the agent stops."""
        self._title("2. invoice-agent runs into a loop: forty ledger entries a second")
        began = time.monotonic()
        written = self._invoice.burst(PAGE_TIMEOUT_S, 40, until=lambda: False)
        took = time.monotonic() - began
        self._page("write_burst")
        self._say(
            f"The kill switch tripped to read_only by itself. The agent had asked before each write (flag "
            f"agent.write, by OpenFeature's protocol); after {written} entries, {took:.1f} s, it was told no."
        )

    def error_spike(self) -> None:
        """Reads are still allowed, and now they fail."""
        self._title("3. It may still read, and now the system it reads from is down")
        failed = self._invoice.fail(PAGE_TIMEOUT_S, 40, until=self._told("error_spike"))
        self._page("error_spike")
        self._say(f"{failed} calls failed. One page, however many errors follow.")

    def refused_authorizations(self) -> None:
        """The agent asks for what it has no right to; on call stops it for good."""
        self._title("4. It tries to read the payroll, and is refused again and again")
        refused = self._invoice.probe(PAGE_TIMEOUT_S, 15, until=self._told("auth_failure"))
        self._page("auth_failure")
        self._say(f"{refused} refusals. On call stops the agent altogether:")
        self._command(
            "killswitch", "trip", "--agent", "invoice-agent", "--mode", "off", "--reason", "reads payroll"
        )
        if self._until(lambda: not self._invoice.may(READ_TOOLS[0])) is None:
            raise AuditfuseError("invoice-agent may still act after its trip; see demo.log")
        self._say("invoice-agent asks once more, is told no even for reading, and ends.")

    def second_agent(self) -> None:
        """The other agent ignores the switch: that is found from its own events."""
        self._title("5. payments-agent is stopped too, but it never asks the switch")
        self._command(
            "killswitch", "trip", "--agent", "payments-agent", "--mode", "off", "--reason", "same release"
        )
        acted = self._payments.fail(PAGE_TIMEOUT_S, 5, until=self._told("acting_after_trip"))
        self._page("acting_after_trip")
        self._say(
            f"It acted {acted} times after its trip. That was seen in the audit trail itself: "
            "the only proof that needs nobody's cooperation."
        )

    def audit(self) -> None:
        """Verify, tamper with one row, verify again."""
        self._title("6. The auditor: is the trail what was written?")
        size, signer = self._service.newest_checkpoint()
        self._say(
            f"As it stopped, auditfuse signed a checkpoint of {size} log entries as {signer}, and put a copy "
            f"into ./{self._folder}/elsewhere, which stands for another machine."
        )
        self._command("verify", "--anchor", "elsewhere")
        self._say("Now somebody with access to the disk rewrites one stored row:")
        with tamper_with_one_row(self._folder / "store") as change:
            self._quote(change, "yellow")
            self._command("verify", "--anchor", "elsewhere", expect=1)
        self._say("(The row is put back.)")

    def epilogue(self, seconds: float) -> None:
        """What to try next."""
        self._title(f"That took {seconds:.0f} s. Three queries to try")
        for query in QUERIES:
            command = f'.venv/bin/auditfuse sql --store {self._folder}/store "{query}"'
            self._console.print(Padding(command, (0, 0, 0, 2)), style="cyan", markup=False)
        self._say("The README goes on from here: your own agents, Kafka, and Slack or PagerDuty.")

    def _agent(self, name: str, *, obeys: bool, seed: int) -> DemoAgent:
        return DemoAgent(
            Agent(name, "prod", 0.0),
            events_url=f"http://127.0.0.1:{self._service.events_port}/v1/events",
            flags_url=f"http://127.0.0.1:{self._service.control_port}/ofrep/v1/evaluate/flags",
            obeys=obeys,
            seed=seed,
        )

    def _told(self, detector: str) -> Callable[[], bool]:
        return lambda: self._webhook.page_of(detector) is not None

    def _page(self, detector: str) -> None:
        page = self._webhook.wait_for(detector, PAGE_TIMEOUT_S)
        if page is None:
            raise AuditfuseError(f"no page about {detector} came; see {self._folder}/demo.log")
        self._console.print(Padding(f"PAGE  {page['title']}", (0, 0, 0, 2)), style="bold red", markup=False)

    def _command(self, *arguments: str, expect: int = 0) -> None:
        shown = " ".join(f'"{word}"' if " " in word else word for word in arguments)
        self._console.print(Padding(f"$ auditfuse {shown}", (0, 0, 0, 2)), style="cyan", markup=False)
        done = self._service.command(*arguments)
        if done.returncode != expect:
            raise AuditfuseError(f"`auditfuse {shown}` ended with {done.returncode}: {done.stderr.strip()}")
        self._quote(done.stdout.strip(), "")

    def _until(self, condition: Callable[[], _T | None]) -> _T | None:
        """What `condition` gives as soon as it is true; None when the time runs out."""
        deadline = time.monotonic() + PAGE_TIMEOUT_S
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.2)
        return None

    def _title(self, text: str) -> None:
        self._console.print(f"\n{text}", style="bold", markup=False)

    def _say(self, text: str) -> None:
        self._console.print(Padding(text, (0, 0, 0, 2)), markup=False)

    def _quote(self, text: str, style: str) -> None:
        self._console.print(Padding(text, (0, 0, 0, 6)), style=style, markup=False)
