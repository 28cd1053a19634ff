"""PagerDuty and Opsgenie: one alert for each incident, which is opened, acknowledged and closed by its key.

apprise reads their URLs but sends no acknowledgement to PagerDuty, and closes at Opsgenie only what it
opened itself. So these two are called here, by PagerDuty's Events API v2 and Opsgenie's Alert API.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from pipeline.respond.config import RespondConfig
from pipeline.respond.page import Page
from pipeline.respond.retry_after import pause_asked_s
from pipeline.respond.sent import Sent, by_status
from pipeline.respond.targets import Target

SUMMARY_CHARS = 1_024
"""PagerDuty's limit of a summary."""
MESSAGE_CHARS, DESCRIPTION_CHARS, NOTE_CHARS = 130, 15_000, 25_000
"""Opsgenie's limits."""
_EVENTS = {"us": "https://events.pagerduty.com", "eu": "https://events.eu.pagerduty.com"}
_OPSGENIE = {"us": "https://api.opsgenie.com", "eu": "https://api.eu.opsgenie.com"}
_SEVERITY = {"critical": "critical", "warning": "warning", "info": "info"}
_PRIORITY = {"critical": "P1", "warning": "P3", "info": "P5"}
_ACCEPTED = (200, 201, 202)
_GONE = 404

Parse = Callable[[str], Any]
"""apprise's reading of a URL: an object with its parts, or None."""


class Call:
    """One request to a service: address, headers, content."""

    def __init__(self, url: str, headers: Mapping[str, str], content: Mapping[str, Any]) -> None:
        self.url = url
        self.headers = {"Content-Type": "application/json", **headers}
        self.body = json.dumps(content)


def is_alert_service(url: str) -> bool:
    """Whether alerts of that URL's service follow their incident."""
    return url.partition("://")[0].lower() in _CALLS


def send_alert(target: Target, url: str, page: Page, parse: Parse, config: RespondConfig) -> Sent:
    """Try once to open, acknowledge or close the alert of a page's incident."""
    service = parse(url)
    if service is None:
        return Sent(outcome="misconfigured", error="apprise cannot use the URL")
    call = _CALLS[url.partition("://")[0].lower()](service, url, target.api_url, page)
    return _post(call, page, config)


def _post(call: Call, page: Page, config: RespondConfig) -> Sent:
    import requests

    try:
        # Without the answer's body: nothing of it is needed, and it may be long or never end.
        with requests.post(
            call.url,
            data=call.body,
            headers=call.headers,
            timeout=(config.connect_timeout_s, config.send_timeout_s),
            allow_redirects=False,
            stream=True,
        ) as answer:
            code, asked_s = answer.status_code, pause_asked_s(answer.status_code, answer.headers)
    except requests.Timeout:
        return Sent(outcome="failed", error="time-out")
    except requests.RequestException:
        return Sent(outcome="failed", error="no connection, or not accepted")
    if code in _ACCEPTED or (code == _GONE and page.event != "trigger"):
        return Sent(outcome="sent")  # what is gone already needs no closing
    return by_status(code, asked_s)


def _pagerduty(service: Any, _url: str, api_url: str | None, page: Page) -> Call:
    content: dict[str, Any] = {
        "routing_key": service.integration_key,
        "event_action": page.event,
        "dedup_key": page.dedup_key,
    }
    if page.event == "trigger":
        content |= {"client": "auditfuse", "payload": _pagerduty_payload(service, page)}
    return Call(f"{api_url or _EVENTS[service.region_name]}/v2/enqueue", {}, content)


def _pagerduty_payload(service: Any, page: Page) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "summary": page.title[:SUMMARY_CHARS],
        "severity": service.severity or _SEVERITY[page.severity],
        "source": "auditfuse" if service.source == "Apprise" else service.source,
        "component": service.component,
        "custom_details": {**service.details, "page": page.body, "page_id": page.page_id},
    }
    if service.group:
        payload["group"] = service.group
    if service.class_id:
        payload["class"] = service.class_id
    return payload


def _opsgenie(service: Any, url: str, api_url: str | None, page: Page) -> Call:
    base = f"{api_url or _OPSGENIE[service.region_name]}/v2/alerts"
    headers = {"Authorization": f"GenieKey {service.apikey}"}
    who = {"user": service.user} if service.user else {}
    if page.event != "trigger":
        verb = "close" if page.event == "resolve" else "acknowledge"
        place = f"{base}/{quote(page.dedup_key, safe='')}/{verb}?identifierType=alias"
        note = f"{page.title}\n{page.body}"[:NOTE_CHARS]
        return Call(place, headers, {"source": "auditfuse", "note": note, **who})
    content: dict[str, Any] = {
        "message": page.title[:MESSAGE_CHARS],
        "alias": page.dedup_key,
        "description": f"{page.title}\n\n{page.body}"[:DESCRIPTION_CHARS],
        "priority": _PRIORITY[page.severity],
        "source": "auditfuse",
        "details": {**service.details, "page_id": page.page_id},
        **who,
    }
    if service.targets:
        content["responders"] = service.targets
    if service.entity:
        content["entity"] = service.entity
    tags = [tag for given in parse_qs(urlsplit(url).query).get("tags", []) for tag in given.split(",") if tag]
    if tags:
        content["tags"] = tags
    return Call(base, headers, content)


_CALLS: dict[str, Callable[[Any, str, str | None, Page], Call]] = {
    "pagerduty": _pagerduty,
    "opsgenie": _opsgenie,
}
