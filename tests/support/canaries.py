"""Forty known secrets and personal values, and events that hold one of them in every place there is.

All are made up. Shapes and checksums are real, so that recognizers must take them seriously; they are
put together at run time, so that nothing in this file looks like a leaked secret to a scanner.
"""

import base64
import json
from typing import NamedTuple
from urllib.parse import quote, quote_plus

from schemas.event import Event


class Canary(NamedTuple):
    """One value that must never be found again, and the entity type it is of."""

    name: str
    value: str
    entity: str


def _b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _mixed(seed: str, length: int) -> str:
    """Random-looking letters and digits, the same for the same seed."""
    import hashlib

    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    stream = hashlib.shake_256(seed.encode()).digest(length)
    return "".join(alphabet[b % 62] for b in stream)


def _hex(seed: str, length: int) -> str:
    import hashlib

    return hashlib.shake_256(seed.encode()).hexdigest(length // 2)


def _jwt() -> str:
    head, body = _b64('{"alg":"HS256","typ":"JWT"}'), _b64('{"sub":"4711","role":"clerk"}')
    return ".".join([head, body, _mixed("jwt", 43)])


def _pem() -> str:
    lines = "\n".join(_mixed(f"pem{i}", 64) for i in range(4))
    return f"-----BEGIN RSA {'PRIVATE'} KEY-----\n{lines}\n-----END RSA {'PRIVATE'} KEY-----"


CANARIES: tuple[Canary, ...] = (
    Canary("email", "marta.lindqvist" + "@" + "example.org", "EMAIL_ADDRESS"),
    Canary("email_private_network", "svc.owner" + "@" + "billing.internal", "EMAIL_ADDRESS"),
    Canary("phone_us", "(415) 555-" + "0132", "PHONE_NUMBER"),
    Canary("phone_intl", "+44 20 7946 " + "0958", "PHONE_NUMBER"),
    Canary("phone_de", "+49 30 901820" + "17", "PHONE_NUMBER"),
    Canary("card_visa", "4539-1488-" + "0343-6467", "CREDIT_CARD"),
    Canary("card_amex", "3782 822463 " + "10005", "CREDIT_CARD"),
    Canary("iban_de", "DE89 3704 0044 " + "0532 0130 00", "IBAN_CODE"),
    Canary("iban_gb", "GB29NWBK" + "60161331926819", "IBAN_CODE"),
    Canary("ssn", "536-22-" + "8419", "US_SSN"),
    Canary("ipv4", "203.0.113." + "87", "IP_ADDRESS"),
    Canary("ipv6", "2001:db8:85a3::8a2e:" + "370:7334", "IP_ADDRESS"),
    Canary("mac", "3C:52:82:" + "4F:9A:1B", "MAC_ADDRESS"),
    Canary("name", "Margaret " + "Thompson", "PERSON"),
    Canary("name_2", "Robert " + "Anderson", "PERSON"),
    Canary("street_address", "2847 Maplewood " + "Avenue", "STREET_ADDRESS"),
    Canary("passport", "passport number " + "C41927365", "PASSPORT"),
    Canary("driver_license", "driver license " + "D4819273", "US_DRIVER_LICENSE"),
    Canary("date_of_birth", "born on 1987-" + "03-14", "DATE_OF_BIRTH"),
    Canary("bank_account", "bank account " + "84920175523", "US_BANK_NUMBER"),
    Canary("bitcoin", "1A1zP1eP5QGefi2D" + "MPTfTL5SLmv7DivfNa", "CRYPTO"),
    Canary("ethereum", "0x" + _hex("eth", 40), "CRYPTO"),
    Canary("aws_access_key", "AKIA" + "Q3EGRTOB" + "7VWXZK5N", "AWS_ACCESS_KEY"),
    Canary("aws_secret_key", "wJalrXUtnFEMI/K7MDENG" + "/bPxRfiCYzR4nD0mK3y", "AWS_SECRET_KEY"),
    Canary("gcp_api_key", "AIza" + _mixed("gcp", 35), "GCP_API_KEY"),
    Canary("azure_key", _mixed("azure", 86) + "==", "AZURE_KEY"),
    Canary("github_token", "ghp" + "_" + _mixed("github", 36), "GITHUB_TOKEN"),
    Canary("gitlab_token", "glpat" + "-" + _mixed("gitlab", 20), "GITLAB_TOKEN"),
    Canary("slack_token", "xoxb" + "-2948571036-" + _mixed("slack", 24), "SLACK_TOKEN"),
    Canary("stripe_key", "sk" + "_live_" + _mixed("stripe", 24), "STRIPE_KEY"),
    Canary("openai_key", "sk" + "-proj-" + _mixed("openai", 48), "OPENAI_KEY"),
    Canary("anthropic_key", "sk" + "-ant-api03-" + _mixed("anthropic", 60), "ANTHROPIC_KEY"),
    Canary("huggingface_token", "hf" + "_" + _mixed("huggingface", 34), "HUGGINGFACE_TOKEN"),
    Canary("sendgrid_key", "SG" + "." + _mixed("sg1", 22) + "." + _mixed("sg2", 43), "SENDGRID_KEY"),
    Canary("jwt", _jwt(), "JWT"),
    Canary("private_key", _pem(), "PRIVATE_KEY"),
    Canary("dsn_password", "postgres://ledger:" + "kV9w2Lq7rT" + "@db.prod:5432/books", "URL_PASSWORD"),
    Canary("bearer_token", "Bearer " + _mixed("bearer", 32), "BEARER_TOKEN"),
    Canary("basic_auth", "Basic " + base64.b64encode(b"ledger:kV9w2Lq7rT").decode(), "BASIC_AUTH"),
    Canary("password", "password=" + "Tr0ub4dor&3xKq", "PASSWORD"),
)


def plant(value: str) -> list[Event]:
    """Events that hold `value` in every place that an event has, one place an event."""
    return [_with_id(i, fields) for i, fields in enumerate(places(value).values())]


def places(value: str) -> dict[str, dict[str, object]]:
    """Where a value may hide: name of the place → the event's fields."""
    nested = json.dumps({"order": {"notes": [f"Please use {value} for this."]}})
    escaped = "".join(f"\\u{ord(c):04x}" if ord(c) < 65536 else c for c in value)
    ids = (
        "trace_id",
        "span_id",
        "parent_span_id",
        "session_id",
        "request_id",
        "credential_id",
        "tool_call_id",
    )
    labels = (
        "agent_id", "agent_version", "config_version", "environment", "channel", "principal", "end_user",
        "operation", "action", "target", "model", "approval_status", "error_type", "credential_expires",
    )  # fmt: skip
    found: dict[str, dict[str, object]] = {name: {name: value} for name in (*ids, "approval_id", *labels)}
    return found | {
        "id_with_prefix": {"session_id": f"conv_{value}", "tool_call_id": f"call_{value}"},
        "scopes": {"scopes": ["invoices:read", value]},
        "status_message": {"status": "error", "status_message": f"Request failed: {value} was refused"},
        "url_query": {"target": f"https://erp.example.com/v1/find?limit=5&q={quote(value, safe='')}&page=2"},
        "url_query_plus": {"target": f"https://erp.example.com/v1/find?q={quote_plus(value)}"},
        "url_in_text": {"input": f"GET https://erp.example.com/find?who={quote(value, safe='')} gave 404"},
        "input_text": {"input": f"Please look this up: {value} and tell me."},
        "input_bare": {"input": value},
        "output_object": {"output": {"customer": {"note": value, "amount": 129.5}}},
        "nested_json": {"input": nested},
        "nested_json_twice": {"input": json.dumps({"arguments": nested})},
        "nested_json_escaped": {"output": '{"note":"' + escaped + '"}'},
        "escaped_in_broken_json": {"output": '{"note":"' + escaped + '", '},
        "key": {"input": {value: "seen"}},
        "key_in_nested_json": {"input": json.dumps({"by": {value: 3}})},
        "attribute": {"attributes": {"app.note": value}},
        "attribute_key": {"attributes": {value: True}},
        "attribute_list": {"attributes": {"app.notes": ["a", [value]]}},
        "base64": {"output": "blob " + base64.b64encode(f"note: {value}".encode()).decode()},
    }


def malformed(value: str) -> list[bytes]:
    """Messages that cannot become an event, with `value` in them."""
    quoted = json.dumps(value)
    return [
        f'{{"agent_id": {quoted}, "start_time_unix_nano": '.encode(),
        f'{{"agent_id": {quoted}}}'.encode(),
        f'{{"agent_id": "a", "start_time_unix_nano": {quoted}}}'.encode(),
        f"not json at all {value}".encode(),
        f'[{{"{"[" * 50}": {quoted}}}'.encode(),
        b"\xff\xfe" + value.encode(),
        json.dumps({value: value}).encode(),
    ]


def encodings(value: str) -> dict[str, bytes]:
    """The forms in which a value must not be found: plain, base64, URL-encoded, JSON-escaped."""
    raw = value.encode()
    return {
        "plain": raw,
        "base64": base64.b64encode(raw).rstrip(b"="),
        "url": quote(value, safe="").encode(),
        "url_plus": quote_plus(value).encode(),
        "json": json.dumps(value)[1:-1].encode(),
        "json_unicode": "".join(f"\\u{ord(c):04x}" for c in value).encode(),
    }


def _with_id(number: int, fields: dict[str, object]) -> Event:
    base: dict[str, object] = {
        "start_time_unix_nano": 1_793_577_607_000_000_000 + number,
        "agent_id": "canary/agent",
        "environment": "prod",
        "trace_id": f"{number + 1:032x}",
        "span_id": f"{number + 1:016x}",
    }
    return Event(**(base | fields))  # type: ignore[arg-type]
