"""Secrets are found and named, and what only looks like one is left alone."""

import pytest
from support.redact import redactor
from support.type_cases import SECRET_CASES, found, hexadecimal, mixed

from pipeline.redact.types.secrets import PATTERNS, SECRET_ENTITIES


def test_every_kind_has_a_case() -> None:
    assert {entity for entity, _ in SECRET_CASES} == SECRET_ENTITIES == {p.entity for p in PATTERNS}


@pytest.mark.parametrize(("entity", "text"), SECRET_CASES)
def test_a_secret_is_found_and_named(entity: str, text: str) -> None:
    for carrier in ("{}", "see {} there", '"{}"', "a={}\nb", "({})"):
        assert entity in {kind for kind, _ in found(carrier.format(text))}, carrier


def test_redacted_text_does_not_hold_the_secret() -> None:
    for _, text in SECRET_CASES:
        redacted = redactor(names=False).redact_text(f"see {text} there").text
        assert not [v for _, v in found(text) if v in redacted], (text, redacted)


@pytest.mark.parametrize(
    "text",
    [
        hexadecimal("a", 32),
        hexadecimal("b", 40),
        hexadecimal("c", 64),
        "sha256:" + hexadecimal("d", 64),
        "key " + hexadecimal("e", 32),
        "sk-learn-contrib-utilities-package",
        "sk-" + "or-not-to-be-that-is-the-question",
        "hf_model_name",
        "npm_config_registry",
        "pypi-simple",
        "src/components/UserProfile/AvatarImage42",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "token_type: bearer_v2_custom",
        "postgres://user:${PASSWORD}@host/db",
        "http://proxy:8080/path?a=b@c",
        "https://example.com/@user/1234567890",
        "api_key=config.api_key_2",
        "secret: my_secret_name_v2",
        "token = generate_token_v2(user)",
        "eyJhbGciOiJIUzI1NiJ9",
        "AKIA is the prefix of AWS keys",
        "call_" + mixed("call", 24),
        "toolu_" + mixed("tool", 24),
    ],
)
def test_what_only_looks_like_a_secret_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_a_private_key_is_taken_to_its_end_and_no_further() -> None:
    body = "\n".join(mixed(str(i), 64) for i in range(3))
    pem = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"
    assert [v for k, v in found(f"before\n{pem}\nafter") if k == "PRIVATE_KEY"] == [pem]
    cut = f"-----BEGIN PRIVATE KEY-----\n{body}"
    assert next(v for k, v in found(f"{cut}: end of file") if k == "PRIVATE_KEY").startswith(cut)


def test_only_the_password_of_a_url_is_taken() -> None:
    url = "postgres://ledger:" + "kV9w2Lq7rT" + "@db.prod:5432/books"
    assert found(url) == [("URL_PASSWORD", "kV9w2Lq7rT")]
