"""Configuration of the state database, of incidents and of paging."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from pipeline.respond.maintenance import MaintenanceWindow
from pipeline.respond.public_url import checked_public_url
from pipeline.respond.targets import CONSOLE, CONSOLE_URL, EscalationLevel, HeartbeatConfig, Route, Target
from schemas.finding import Severity


class StateConfig(BaseModel):
    """Where consumed ends, incidents and undelivered pages are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr = SecretStr("sqlite:///auditfuse-data/state.db")
    """An SQLAlchemy URL: sqlite:///PATH, or postgresql+psycopg://… where more than one host responds. What
    libpq takes may follow it, as ?sslmode=verify-full&sslrootcert=PATH."""
    migrate: bool = False
    """Let `run` upgrade the tables on PostgreSQL. An SQLite file it upgrades in any case."""
    busy_timeout_ms: int = Field(default=5_000, ge=0)
    """How long one statement waits for the lock of another process, and a connection for its server."""
    retry_for_ms: int = Field(default=30_000, ge=0)
    """How long a transaction is tried again while the database is locked or away."""
    statement_timeout_ms: int = Field(default=60_000, ge=1_000)
    """How long one statement may take on PostgreSQL, and a transaction stand still."""
    pool_size: int = Field(default=10, ge=2)
    """The most connections to PostgreSQL that one part of a process holds at a time."""


class RespondConfig(BaseModel):
    """How findings become incidents and pages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: tuple[Target, ...] = ()
    """Where pages go. With none, pages are printed on the terminal."""
    routes: tuple[Route, ...] = (Route(),)
    """By severity and environment. An incident of severity critical that no route takes goes everywhere."""
    console: bool = False
    """Also print every page on the terminal."""
    last_resort: str | None = None
    """The target that is told when pages cannot be delivered elsewhere."""
    dead_man_after_s: float = Field(default=300, gt=0)
    """How long a page may stay undelivered before the last resort is told."""
    reopen_within_s: float = Field(default=3_600, ge=0)
    """A finding this soon after its incident was resolved reopens it."""
    quiet_resolves_after_s: float = Field(default=1_800, gt=0)
    """The hold-down: an incident without findings for this long is resolved by recovery. One that was
    reopened needs twice as long, then four times, then eight."""
    withdrawn_resolves_after_s: float = Field(default=60, ge=0)
    """The hold-down of an incident whose findings were all taken back, such as an agent that speaks again."""
    agent_pages_together_s: float = Field(default=15, ge=0)
    """More incidents of an agent that was paged about within five minutes wait so long and are told in one
    page, unless one is worse or was tripped. 0: each at once."""
    shared_cause_agents: int = Field(default=5, ge=2)
    """Agents of one environment that fall silent within `shared_cause_within_s`: one incident for all."""
    shared_cause_within_s: float = Field(default=900, gt=0)
    """How far back incidents become part of an incident that explains them."""
    storm_wait_s: float = Field(default=75, ge=0)
    """Where more incidents come within a minute than half of what a target takes, two are paged at once,
    and what is worse than they are; the rest waits so long, for what is left of the pages. 0: at once."""
    remind_after_s: float = Field(default=900, ge=0)
    """An incident that nobody has answered is paged again after this long, then after twice as long, and so
    on. 0: never."""
    remind_max_s: float = Field(default=14_400, gt=0)
    """The longest time between two such pages."""
    remind_severities: tuple[Severity, ...] = ("critical",)
    """The severities that are paged again."""
    escalation: tuple[EscalationLevel, ...] = ()
    """Who is paged besides while nobody answers, level by level."""
    maintenance: tuple[MaintenanceWindow, ...] = ()
    """Planned times in which pages wait. What is still open at their end is paged then."""
    silence_max_hours: float = Field(default=72, gt=0)
    """The longest silence that a person may place."""
    heartbeat: HeartbeatConfig = HeartbeatConfig()
    """Tells a monitor elsewhere that this is still watching."""
    own_fault_after_s: float = Field(default=60, ge=0)
    """A fault of auditfuse itself that lasts so long is an incident of agent auditfuse."""
    keep_days: float = Field(default=90, gt=0)
    """Resolved incidents, with their pages and deliveries, leave the state database after so many days. The
    audit store keeps them."""
    public_url: str | None = None
    """Where people reach the control server, such as https://auditfuse.example.com: the incident page is
    linked in every page. https, unless it is this machine."""
    runbook_url: str | None = Field(default=None, pattern=r"^https?://[^\s<>@\"']+$")
    """Where runbooks are: the detector's name is put after it. By default the path in the repository is
    told."""
    link_valid_s: float = Field(default=86_400, gt=0, le=604_800)
    """How long a one-time link is good, unless it is used before."""
    insight_wait_s: float = Field(default=0.5, ge=0, le=5)
    """How long after its incident changed a page waits for the likeliest causes and its plot. What is not
    ready then is on the incident page alone. Where the last answers took longer, a page does not wait."""
    append_wait_s: float = Field(default=5, ge=0)
    """How long a page waits for its finding to be sealed; then it is sent all the same."""
    backoff_first_s: float = Field(default=1, gt=0)
    """The first pause after a failed delivery; it doubles with each failure."""
    backoff_max_s: float = Field(default=300, gt=0)
    """The longest pause between two attempts. Attempts go on until the page is delivered."""
    connect_timeout_s: float = Field(default=4, gt=0)
    """How long a target may take to accept a connection."""
    send_timeout_s: float = Field(default=15, gt=0)
    """How long one attempt may take in all."""

    @field_validator("public_url")
    @classmethod
    def _reachable(cls, url: str | None) -> str | None:
        return None if url is None else checked_public_url(url)

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [target.name for target in self.targets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two targets are named {twice[0]}")
        if CONSOLE in names:
            raise ValueError("the target name console is taken; set console = true instead")
        if self.last_resort is not None and self.last_resort not in [t.name for t in self.all_targets()]:
            raise ValueError(f"last_resort names the target {self.last_resort}, which is not configured")
        known = {tag for target in self.all_targets() for tag in target.tags}
        for level in self.escalation:
            if not known.intersection(level.tags):
                raise ValueError(f"escalation names the tags {', '.join(level.tags)}, which no target has")
        windows = [window.name for window in self.maintenance]
        if len(set(windows)) < len(windows):
            raise ValueError("two maintenance windows have one name")
        return self

    def all_targets(self) -> tuple[Target, ...]:
        """The configured targets, and the terminal where it is asked for or there is nothing else."""
        if self.targets and not self.console:
            return self.targets
        tags = tuple(sorted({tag for route in self.routes for tag in route.tags} | {"page"}))
        return (*self.targets, Target(name=CONSOLE, url=SecretStr(CONSOLE_URL), tags=tags, per_minute=600))

    def targets_for(self, severity: Severity, environment: str) -> list[str]:
        """Names of the targets to tell about an incident, in configured order."""
        tags = {
            tag
            for route in self.routes
            if severity in route.severities and (not route.environments or environment in route.environments)
            for tag in route.tags
        }
        everything = self.all_targets()
        names = [target.name for target in everything if tags.intersection(target.tags)]
        if not names and severity == "critical":
            return [target.name for target in everything]
        return names

    def target(self, name: str) -> Target | None:
        """The target of that name; None where it is configured no more."""
        return next((target for target in self.all_targets() if target.name == name), None)

    def named_by(self, tags: tuple[str, ...]) -> list[str]:
        """Names of the targets that have any of these tags, in configured order."""
        return [target.name for target in self.all_targets() if set(tags).intersection(target.tags)]


def first_attention_ms(config: RespondConfig, now_ms: int) -> int | None:
    """When an incident that was opened now is first looked at for a reminder; None: never."""
    delays_s = [level.after_minutes * 60 for level in config.escalation]
    if config.remind_after_s:
        delays_s.append(config.remind_after_s)
    return now_ms + int(min(delays_s) * 1000) if delays_s else None
