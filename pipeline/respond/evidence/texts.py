"""The bundle's texts for people: timeline, communication, back-out, and what the files are. Pure."""

from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.respond.page import inert

TEXTS = ("README.md", "timeline.md", "communication.md", "back-out.md")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    # Markdown, not HTML: every value is made inert instead of escaped.
    return Environment(
        loader=PackageLoader("pipeline.respond.evidence", "templates"),
        autoescape=False,  # noqa: S701
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_inert,
    )


def texts(context: dict[str, Any]) -> dict[str, bytes]:
    """Each text, filled in."""
    return {name: _environment().get_template(name).render(context).encode() for name in TEXTS}


def _inert(value: Any) -> Any:
    """Text that an agent may have chosen becomes one plain line: no link, no markup, no table cell."""
    if not isinstance(value, str):
        return value
    return inert(value, 2_000).replace("[", "(").replace("]", ")").replace("*", "∗").replace("#", "＃")
