"""An incident as commands show it: from the state database, and what the store says besides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

if TYPE_CHECKING:
    from pipeline.audit.store import Store
    from pipeline.config import Config
    from pipeline.respond.insight import Insight
    from pipeline.respond.page import Page
    from pipeline.respond.state import IncidentDetail, StateDatabase

LOOK_LIMIT_S = 10.0


class Looked(NamedTuple):
    """An incident, and where it was found."""

    config: Config
    state: StateDatabase
    store: Store
    detail: IncidentDetail

    def insight(self, *, is_quiet: bool = False) -> Insight | None:
        """What the store says; None where it cannot be asked, which standard error tells unless
        `is_quiet`."""
        from pipeline.clock import system_now_ms
        from pipeline.respond.inquiry import InsightError, look

        try:
            return look(self.store, self.detail.lead, system_now_ms(), LOOK_LIMIT_S)
        except InsightError as error:
            if not is_quiet:
                typer.echo(f"Without likely causes: {error}.", err=True)
            return None

    def page(self, insight: Insight | None) -> Page:
        """The page that a target without a person gets."""
        from pipeline.respond.page import render
        from pipeline.respond.public_url import incident_url

        incident, lead, respond = self.detail.incident, self.detail.lead, self.config.respond
        link = incident_url(respond.public_url, incident.incident_id) if respond.public_url else None
        return render(
            incident,
            lead.finding,
            lead.evidence,
            None,
            page_id=incident.incident_id,
            trip=self.detail.trip,
            late=lead.late,
            insight=insight,
            link=link,
            runbook_url=respond.runbook_url,
        )


def look_at(incident: str, config: Path | None, store: str | None) -> Looked:
    """Find an incident. Raises ConfigError, StoreError where there is none."""
    from pipeline.audit.store import open_store
    from pipeline.config import load_config
    from pipeline.respond.state import StateDatabase

    loaded = load_config(config, store=store)
    state = StateDatabase(loaded.state, loaded.respond)
    state.create_schema()
    return Looked(loaded, state, open_store(loaded.store), state.incident(incident))
