"""Puts the incident pages, and what goes along with pages to people, together from a configuration."""

import functools

from pipeline.audit.store import Store
from pipeline.clock import NowMs
from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.killswitch.switch import KillSwitch
from pipeline.redact.reasons import Redact
from pipeline.respond.companion import Companion
from pipeline.respond.inquiry import look
from pipeline.respond.links import Links
from pipeline.respond.pager import takes_plot
from pipeline.respond.state import StateDatabase
from pipeline.respond.targets import Target
from pipeline.web.key import subkey, web_key
from pipeline.web.site import Site

PAGE_PATIENCE_MS = (200, 0)
SITE_PATIENCE_MS = (1_000, 2_000)
"""How long a locked state database is waited for, by one statement and in all: a page goes out without its
link, a person is told."""


def new_companion(config: Config, store: Store, now_ms: NowMs) -> Companion:
    """What goes along with pages. It is not started."""
    respond = config.respond
    state = _impatient(config, PAGE_PATIENCE_MS)
    # Without a person to bind a link to, no key is needed.
    is_bound = respond.public_url is not None and any(target.person for target in respond.all_targets())
    return Companion(
        functools.partial(look, store),
        state,
        respond,
        links=new_links(config, state) if is_bound else None,
        plots=any(_takes_plot(target) for target in respond.all_targets()),
        now_ms=now_ms,
    )


def new_site(config: Config, switch: KillSwitch, companion: Companion, redact: Redact, now_ms: NowMs) -> Site:
    """The incident pages."""
    return Site(
        switch,
        _impatient(config, SITE_PATIENCE_MS),
        config.respond,
        key=web_key(config.killswitch.journal),
        insight=companion.insight,
        redact=redact,
        now_ms=now_ms,
    )


def new_links(config: Config, state: StateDatabase) -> Links:
    """The one-time links of this machine's journal."""
    return Links(state, subkey(web_key(config.killswitch.journal), "links of pages"))


def _impatient(config: Config, patience_ms: tuple[int, int]) -> StateDatabase:
    busy_ms, retry_ms = patience_ms
    return StateDatabase(
        config.state.model_copy(update={"busy_timeout_ms": busy_ms, "retry_for_ms": retry_ms}), config.respond
    )


def _takes_plot(target: Target) -> bool:
    try:
        return target.plot and takes_plot(target.resolved_url())
    except ConfigError:
        return False
