"""The field table: how each field of an event, and each key of a payload, is redacted.

Nothing else says so. Adding a field to `schemas.event.Event` without a line here fails a test.
"""

import re
from functools import lru_cache
from typing import Literal, NamedTuple

FieldClass = Literal["untouched", "trace_id", "span_id", "id", "end_user", "label", "text", "payload"]
"""untouched: numbers and closed sets of values. trace_id, span_id, id: pass by shape, else a pseudonym.
end_user: always a pseudonym. label: machine names; every pattern, but NER only where there is white space.
text: everything. payload: walked leaf by leaf."""

EVENT_FIELDS: dict[str, FieldClass] = {
    "start_time_unix_nano": "untouched",
    "agent_id": "label",
    "schema_version": "untouched",
    "duration_ns": "untouched",
    "trace_id": "trace_id",
    "span_id": "span_id",
    "parent_span_id": "span_id",
    "session_id": "id",
    "request_id": "id",
    "agent_version": "label",
    "config_version": "label",
    "environment": "label",
    "channel": "label",
    "principal": "label",
    "credential_id": "id",
    "credential_expires": "label",
    "scopes": "label",
    "end_user": "end_user",
    "operation": "label",
    "action": "label",
    "action_kind": "untouched",
    "target": "label",
    "tool_call_id": "id",
    "model": "label",
    "approval_id": "id",
    "approval_status": "label",
    "approval_source": "untouched",
    "status": "untouched",
    "status_message": "text",
    "error_type": "label",
    "http_status": "untouched",
    "input": "payload",
    "output": "payload",
    "input_tokens": "untouched",
    "output_tokens": "untouched",
    "attributes": "payload",
    "flags": "untouched",
}


class KeyRule(NamedTuple):
    """A payload key whose value is of a known type, as long as the value looks like one."""

    entity: str
    key: re.Pattern[str]
    value: re.Pattern[str]


def _rule(entity: str, key: str, value: str) -> KeyRule:
    return KeyRule(entity, re.compile(rf"(?:^|_){key}$"), re.compile(value, re.DOTALL))


_ANY, _DIGITS_4 = r".*\S.*", r"(?:\D{0,20}\d){4,}.*"
KEY_RULES: tuple[KeyRule, ...] = (
    _rule("PASSWORD", r"(?:password|passwd|pwd|passphrase|passcode|pin_code|pin|cvv|cvc|otp)", _ANY),
    _rule(
        "SECRET",
        r"(?:secret|token|api_?key|access_key|secret_key|private_key|signing_key|encryption_key|client_secret"
        r"|credentials?|authorization|cookies?)",
        r"(?=.*\d)\S{6,}|.{20,}",
    ),
    _rule(
        "PERSON",
        r"(?:(?:first|last|middle|full|given|family|maiden|customer|passenger|patient|employee|recipient"
        r"|contact|card_?holder|account_holder)_?name|surname)",
        r"[^\W\d_][^\d_@/<>{}]{0,80}",
    ),
    _rule(
        "PERSON",
        # A key that names a role: only a value written like a name, since it may hold an id as well.
        r"(?:contact|customer|client|passenger|patient|employee|recipient|beneficiary|guest|attendee|tenant"
        r"|card_?holder|account_holder|payee|payer|signatory)s?",
        r"[^\W\d_a-z][^\W\d_]*(?:[ '’.-]{1,2}[^\W\d_]+){1,4}",
    ),
    _rule("DATE_OF_BIRTH", r"(?:dob|date_of_birth|birth_?date|birth_?day)", r".*\d.*"),
    _rule(
        "STREET_ADDRESS",
        r"(?:street|street_address|(?:home|billing|shipping|mailing|postal)_address|address_?(?:line_?)?\d?)",
        r"(?=.*\d)(?=.*[^\W\d_])(?=.*\s)[^@<>{}]{4,300}",
    ),
    _rule("LOCATION", r"(?:zip|zip_?code|postal_?code|postcode)", r"(?=.*\d)[\w\s-]{3,12}"),
    _rule("US_SSN", r"(?:ssn|social_security(?:_number)?)", _DIGITS_4),
    _rule("PASSPORT", r"passport(?:_?(?:number|no|id))?", r"(?=.*\d)[\w\s-]{5,20}"),
    _rule(
        "US_DRIVER_LICENSE",
        r"driv(?:er|ers|ing)_?licen[sc]e(?:_?(?:number|no|id))?",
        r"(?=.*\d)[\w\s-]{4,24}",
    ),
    _rule("NATIONAL_ID", r"(?:national_id|tax_id|itin|nino|nhs_number|aadhaar|personal_id)", _DIGITS_4),
    _rule(
        "PHONE_NUMBER",
        r"(?:phone|mobile|telephone|cell|fax)(?:_?(?:number|no))?",
        r"(?:\D{0,5}\d){7,15}\D{0,8}",
    ),
    _rule("CREDIT_CARD", r"(?:card_?number|cc_?number|pan)", r"(?:\D?\d){12,19}"),
    _rule(
        "US_BANK_NUMBER", r"(?:account_number|bank_account(?:_number)?|routing_number)", r"(?:\D?\d){6,17}"
    ),
)

_TIME_KEY = re.compile(
    r"(?:^|_)(?:time|timestamp|at|ts|date|unix|epoch|nano|nanos|ms|ns|created|updated|expir\w+)(?:$|_)"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@lru_cache(maxsize=4096)
def key_rule(key: str) -> KeyRule | None:
    """The rule for the value of a payload key, whatever its case style."""
    name = _snake(key)
    return next((rule for rule in KEY_RULES if rule.key.search(name)), None)


@lru_cache(maxsize=4096)
def is_time_key(key: str) -> bool:
    """Whether numbers under this key are times."""
    return bool(_TIME_KEY.search(_snake(key)))


def _snake(key: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", _CAMEL.sub("_", key[-80:]).lower()).strip("_")
