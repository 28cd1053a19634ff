"""HTML of the incident pages: templates that escape everything, and the headers that keep a page to
itself."""

import base64
import hashlib
import unicodedata
from functools import lru_cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse


@lru_cache(maxsize=1)
def _style() -> str:
    return (files("pipeline.web") / "templates" / "style.css").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("pipeline.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=visible,
    )


@lru_cache(maxsize=1)
def _headers() -> dict[str, str]:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "content-security-policy": policy,
        "cache-control": "no-store",
        # Never no-referrer: forms would be sent with the origin `null` and could not be told from foreign
        # ones.
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "x-robots-tag": "noindex, nofollow",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
    }


def html(template: str, status: int, context: dict[str, Any]) -> HTMLResponse:
    """An answer."""
    style = Markup(_style())  # noqa: S704 (a file of ours)
    return HTMLResponse(
        _environment().get_template(template).render(context | {"style": style}), status, _headers()
    )


def visible(value: Any) -> Any:
    """Text without characters that steer instead of show: controls, and marks that turn the direction of
    text."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "".join(
        c if c == "\n" or unicodedata.category(c)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for c in value
    )
