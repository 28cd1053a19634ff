"""The field table, field by field."""

import json
import re

import msgspec
import pytest
from support.redact import event, one, redactor

from pipeline.redact.fields import EVENT_FIELDS, key_rule
from pipeline.redact.types.keys import KEY_RULES
from schemas.event import Event

MAIL = "marta.lindqvist" + "@example.org"
TOKEN = re.compile(r"<([A-Z_]+):k1\.[0-9a-f]{16}>")
ID_FIELDS = [n for n, kind in EVENT_FIELDS.items() if kind in ("id", "trace_id", "span_id")]
LABEL_FIELDS = [n for n, kind in EVENT_FIELDS.items() if kind == "label" and n != "scopes"]


def test_every_field_of_the_event_has_a_line() -> None:
    assert set(EVENT_FIELDS) == {f.name for f in msgspec.structs.fields(Event)}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trace_id", "b529736a43b77c91bf7227a6f606a209"),
        ("trace_id", "41111111111111111111111111111111"),
        ("span_id", "244ff82c23bd9620"),
        ("parent_span_id", "4111111111111111"),
        ("trace_id", "8c7f1d52-7c1a-4a54-9d8d-1f0f6a3f9f10"),
        ("session_id", "conv_cdba94f43fd3999b73c66641"),
        ("session_id", "8C7F1D52-7C1A-4A54-9D8D-1F0F6A3F9F10"),
        ("tool_call_id", "call_qNXKYFHTkSv2qaLiWXBfDcmC"),
        ("tool_call_id", "toolu_01A09q90qw90lq917835lq9"),
        ("request_id", "req_011CSHoEeqs5C35K2UUqR7Fy"),
        ("approval_id", "appr_5f1804c7bb3f1e28"),
    ],
)
def test_ids_of_known_shape_pass(field: str, value: str) -> None:
    assert getattr(one(redactor(), **{field: value}).event, field) == value


@pytest.mark.parametrize("field", ID_FIELDS)
@pytest.mark.parametrize(
    "value",
    [
        MAIL,
        "4711",
        f"conv_{MAIL}",
        "call_MargaretThompsonBilling",
        "conv_4539148803436467",
        "conv_DE89370400440532013000",
        "call_" + "AKIA" + "Q3EGRTOB7VWXZK5N",
        "user 12",
    ],
)
def test_other_ids_become_one_pseudonym(field: str, value: str) -> None:
    first, second = (getattr(one(redactor(), **{field: value}).event, field) for _ in range(2))
    assert first == second
    assert TOKEN.fullmatch(first)
    assert first.startswith("<ID:")


@pytest.mark.parametrize(
    ("value", "entity"),
    [
        (MAIL, "EMAIL_ADDRESS"),
        ("+44 20 7946 0958", "PHONE_NUMBER"),
        ("user-00333", "USER_ID"),
        ("m", "USER_ID"),
    ],
)
def test_the_end_user_is_always_a_pseudonym_of_its_type(value: str, entity: str) -> None:
    token = one(redactor(), end_user=value).event.end_user
    assert token is not None
    assert TOKEN.fullmatch(token)
    assert token.startswith(f"<{entity}:")


@pytest.mark.parametrize("field", LABEL_FIELDS)
@pytest.mark.parametrize(
    "value",
    ["tau-airline/gpt-4o", "sa:tau-airline@agents", "book_reservation", "2.14.0-rc.1", "prod-eu-west-1",
     "tool://tau-airline/book_reservation", "https://erp.example.com/v1/invoices?limit=50&page=2",
     "claude-sonnet-4-5-20250929", "2026-03-01T12:00:00Z", "TimeoutError", "invoices:write"],
)  # fmt: skip
def test_machine_names_survive(field: str, value: str) -> None:
    assert getattr(one(redactor(), **{field: value}).event, field) == value


@pytest.mark.parametrize("field", [*LABEL_FIELDS, "status_message"])
@pytest.mark.parametrize("value", [MAIL, "Margaret Thompson", "sk" + "_live_9aB3kQ7zL2mN5pR8tV1x"])
def test_personal_values_in_any_string_field_are_replaced(field: str, value: str) -> None:
    assert value not in str(getattr(one(redactor(), **{field: value}).event, field))


def test_scopes_are_redacted_one_by_one() -> None:
    scopes = one(redactor(), scopes=["invoices:read", MAIL]).event.scopes
    assert scopes[0] == "invoices:read"
    assert scopes[1].startswith("<EMAIL_ADDRESS:k1.")


def test_numbers_enumerations_and_times_are_untouched() -> None:
    before = event(
        duration_ns=4539148803436467, http_status=403, status="error", action_kind="write", input_tokens=7
    )
    after = redactor().redact([[before]])[0][0].event
    assert after == before


def test_a_url_query_value_is_decoded_before_it_is_looked_at() -> None:
    target = one(
        redactor(), target="https://x.example.com/a?who=marta.lindqvist%40example.org&n=5"
    ).event.target
    token = redactor().redact_text(MAIL).text
    assert target == f"https://x.example.com/a?who={token}&n=5"


def test_the_payload_fields_of_the_event_are_emptied() -> None:
    result = one(redactor(), input="hello", output=[1], attributes={"a": 1})
    assert (result.event.input, result.event.output, result.event.attributes) == (None, None, {})
    assert json.loads(result.payload) == {"input": "hello", "output": [1], "attributes": {"a": 1}}


@pytest.mark.parametrize(
    ("key", "value", "redacted"),
    [
        ("contact", "Ines Hughes", True),
        ("customer", "Zoë O'Connor", True),
        ("passengers", "Jean-Luc d'Arc", True),
        ("customer", "acme-42", False),
        ("customer", "ACTIVE", False),
        ("contact", "sales", False),
    ],
)
def test_a_key_that_names_a_role_helps_where_the_value_is_written_like_a_name(
    key: str, value: str, redacted: bool
) -> None:
    clean = one(redactor(names=False), output={key: value})
    stored = json.loads(clean.payload)["output"][key]
    assert bool(TOKEN.fullmatch(stored)) is redacted, stored


KEYS = {
    "PASSWORD": [
        "password",
        "dbPassword",
        "PIN",
        "cvv",
        "otp",
        "Passwort",
        "contraseña",
        "verification_code",
    ],
    "SECRET": [
        "token",
        "access_token",
        "x-api-key",
        "apiKey",
        "Authorization",
        "clientSecret",
        "connection_string",
    ],
    "COOKIE": ["cookie", "Set-Cookie", "cookies"],
    "PERSON": [
        "first_name",
        "lastName",
        "Full Name",
        "surname",
        "passenger_name",
        "Vorname",
        "nachname",
        "prénom",
        "apellidos",
        "sobrenome",
        "cognome",
        "customer",
        "guests",
        "assignee",
        "created_by",
        "signatory",
        "Ansprechpartner",
        "pasajeros",
    ],
    "USER_ID": ["username", "user_name", "login", "user_id"],
    "PERSON_ID": ["employee_id", "patientId", "mrn", "badge_number"],
    "DATE_OF_BIRTH": [
        "dob",
        "dateOfBirth",
        "birthdate",
        "Geburtsdatum",
        "fecha_nacimiento",
        "date_de_naissance",
    ],
    "STREET_ADDRESS": [
        "address",
        "address1",
        "shippingAddress",
        "street",
        "Straße",
        "adresse",
        "dirección",
        "endereço",
    ],
    "LOCATION": ["zip", "postalCode", "PLZ", "code_postal", "cep"],
    "COORDINATES": ["lat", "longitude", "coordinates", "lng"],
    "US_SSN": ["ssn", "socialSecurityNumber"],
    "PASSPORT": ["passport", "passport_number", "passportNo"],
    "US_DRIVER_LICENSE": ["drivers_license", "driver_license_number"],
    "NATIONAL_ID": [
        "national_id",
        "tax_id",
        "nino",
        "aadhaar",
        "cpf",
        "dni",
        "personnummer",
        "steuer_id",
        "personalIdNumber",
    ],
    "PHONE_NUMBER": [
        "phone",
        "phoneNumber",
        "mobile",
        "home_phone",
        "Téléphone",
        "telefono",
        "celular",
        "whatsapp",
        "tel",
    ],
    "EMAIL_ADDRESS": ["email", "e-mail", "emailAddress", "mail", "correo"],
    "IBAN_CODE": ["iban", "IBAN_number"],
    "CREDIT_CARD": ["card_number", "cc", "cardNo", "pan", "credit_card"],
    "US_BANK_NUMBER": ["account_number", "routingNumber", "account", "clabe"],
    "IP_ADDRESS": ["ip", "IPAddress", "client_ip", "X-Forwarded-For", "remoteAddr"],
    "MAC_ADDRESS": ["mac", "macAddress"],
    "DEVICE_ID": ["imei", "idfa", "advertising_id", "android_id"],
    "LICENSE_PLATE": ["license_plate", "plate_number", "Kennzeichen"],
    "VEHICLE_ID": ["vin"],
}


@pytest.mark.parametrize(("entity", "key"), [(e, k) for e, keys in KEYS.items() for k in keys])
def test_a_key_says_what_its_value_is_in_any_case_style(entity: str, key: str) -> None:
    rule = key_rule(key)
    assert rule is not None
    assert rule.entity == entity


def test_every_type_of_the_key_rules_has_a_key() -> None:
    assert {rule.entity for rule in KEY_RULES} == set(KEYS)


@pytest.mark.parametrize(
    "key",
    [
        "name",
        "tool_name",
        "last_login",
        "file_name",
        "hostname",
        "max_tokens",
        "token_count",
        "next_page_token",
        "status",
        "amount",
        "order_id",
        "flight_number",
        "description",
        "span",
        "capacity",
        "pinned",
        "company",
        "via_api",
        "origin",
        "carbon",
        "platform",
        "latency",
        "iphone_model",
        "emailed",
        "addressed",
        "cardinality",
        "version",
        "model",
        "title",
        "notes",
    ],
)
def test_other_keys_say_nothing(key: str) -> None:
    assert key_rule(key) is None


@pytest.mark.parametrize(
    ("parent", "value", "is_person"),
    [
        ("customer", "mia li", True),
        ("passengers", "Mia", True),
        ("patient", "O'Connor", True),
        ("owner", "Mia Li", True),
        ("owner", "platform-team", False),
        ("client", "mobile", False),
        ("product", "Mia Li", False),
        ("tool", "search", False),
        ("file", "report", False),
        ("", "Mia Li", False),
    ],
)
def test_a_name_is_a_persons_below_a_person(parent: str, value: str, is_person: bool) -> None:
    rule = key_rule("name", parent)
    assert bool(rule and rule.entity == "PERSON" and rule.value.fullmatch(value)) is is_person


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ip", "12"),
        ("card", "visa ending 4242"),
        ("account", "premium"),
        ("address", "0x12ab"),
        ("email", "weekly"),
        ("phone", "n/a"),
        ("lat", "45"),
        ("login", "2024-05-15 06:00"),
        ("user_id", "12345"),
        ("user_id", "8c7f1d52-7c1a-4a54-9d8d-1f0f6a3f9f10"),
        ("customer", "cus_12345"),
        ("author", "bot"),
        ("vin", "none"),
        ("sin", "0.5"),
    ],
)
def test_a_value_that_does_not_look_like_it_is_left_alone(key: str, value: str) -> None:
    rule = key_rule(key)
    assert rule is None or not rule.value.fullmatch(value)
