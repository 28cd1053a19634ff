"""Whose rules decide: by field, allow and deny lists, overrides; and what no rule can change."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.policy import under
from support.redact import event, fresh, one
from support.redact import test_keys as keys_of_the_tests
from typer.testing import CliRunner

from pipeline.commands.config import app as config_app
from pipeline.errors import ConfigError
from pipeline.redact.alias import AliasMatcher
from pipeline.redact.config import RedactionConfig
from pipeline.redact.overrides import general_rules_for
from pipeline.redact.phrases import Finder
from pipeline.redact.policy import Policies
from pipeline.redact.pseudonym import TOKEN, Pseudonyms

MAIL, SSN = "marta.lindqvist@example.org", "536-22-8419"
SECRET = "ghp_" + "a1B2" * 9
MASK = {"operator": "mask", "keep_last": 4}


def policies(**rules: object) -> Policies:
    """Policies under rules, with a key of no concern."""
    return Policies(RedactionConfig.model_validate(rules), Pseudonyms("k1", b"0" * 32, "US"))


def payload_of(redactor, **fields: object) -> dict:
    """The payload of an event, redacted."""
    return json.loads(one(redactor, **fields).payload)


def test_a_field_rule_takes_the_whole_value_and_everything_in_it() -> None:
    redactor = under(fields={"customer_note": "drop", "passengers.*": {"operator": "replace"}, "ref": MASK})
    out = payload_of(
        redactor,
        input={
            "customer_note": "nothing personal",
            "passengers": [{"name": "mia li", "seat": 4, "tags": ["x1"]}],
            "nested": '{"customer_note": ["a b c", 7]}',
            "REF": "AB-123456789",
            "seat": 12,
        },
    )["input"]
    assert out["customer_note"] == ""
    assert out["passengers"] == [{"name": "<PERSON>", "seat": "<FIELD>", "tags": ["<FIELD>"]}]
    assert json.loads(out["nested"]) == {"customer_note": ["", ""]}
    assert out["REF"] == "********6789"
    assert out["seat"] == 12


def test_a_field_rule_for_what_is_found_leaves_the_rest() -> None:
    out = payload_of(
        under(fields={"note": {"operator": "mask", "whole": False}}),
        input={"note": f"to {MAIL} now", "other": MAIL},
    )["input"]
    assert out["note"] == f"to {'*' * len(MAIL)} now"
    assert TOKEN.fullmatch(out["other"])


def test_a_kept_field_keeps_no_secret() -> None:
    out = payload_of(under(fields={"note": "keep"}), input={"note": f"{MAIL} {SECRET}", "other": MAIL})[
        "input"
    ]
    assert out["note"].startswith(f"{MAIL} <GITHUB_TOKEN:")
    assert TOKEN.fullmatch(out["other"])


def test_a_field_rule_reaches_metadata() -> None:
    redacted = one(
        under(fields={"status_message": "drop", "target": "hash"}), status_message="x y", target="crm"
    )
    assert redacted.event.status_message == ""
    assert TOKEN.fullmatch(redacted.event.target or "")
    assert redacted.redactions == {"FIELD": 2}


@pytest.mark.parametrize("given", ["only a text", ["a b", 7], {"a": "b c"}, 12, '{"a": "b c"}'])
def test_a_field_rule_for_all_of_the_input(given: object) -> None:
    out = payload_of(under(fields={"input": "drop"}), input=given, output="stays here")
    assert "b" not in json.dumps(out["input"]).replace('"a"', "")
    assert not any(c.isdigit() for c in json.dumps(out["input"]))
    assert out["output"] == "stays here"


def test_a_type_of_its_own_for_a_field() -> None:
    out = one(under(fields={"customer_no": {"type": "CUSTOMER_NO"}}), input={"customer_no": "C-17", "n": 1})
    assert out.redactions == {"CUSTOMER_NO": 1}
    assert b"<CUSTOMER_NO:k1." in out.payload


def test_what_is_allowed_stays_unless_it_is_part_of_more() -> None:
    redactor = under(allow={"values": ["support@example.org"], "patterns": [r"ops-\d+@example\.org"]})
    text = "support@example.org Support@Example.org ops-12@example.org"
    assert redactor.redact_text(text).text == text
    for other in ("other.support@example.org", "support@example.org.uk", MAIL):
        assert TOKEN.fullmatch(redactor.redact_text(other).text), other


def test_what_is_allowed_is_found_in_escaped_text_too() -> None:
    redactor = under(allow={"values": ["support@example.org"]})
    text = '{"note": "mail support\\u0040example.org, a?x=support%40example.org&y=support@example.org"}'
    assert redactor.redact_text(text).text == text
    assert redactor.redact_text("a?x=me.support%40example.org").counts == {"EMAIL_ADDRESS": 1}


def test_what_is_denied_goes_wherever_it_stands() -> None:
    redactor = under(
        deny=[{"values": ["Project Falcon", "C++"]}, {"type": "CASE_NO", "patterns": [r"\bX-\d{4}\b"]}]
    )
    result = redactor.redact_text("PROJECT  falcon (X-1234), Falcon, c++; a/b?q=project+falcon")
    assert result.counts == {"DENIED": 3, "CASE_NO": 1}
    assert "Falcon," in result.text
    assert "project" not in result.text.lower()
    assert redactor.redact_text("x_project-falcon_2 C++11 projectfalcon").counts == {"DENIED": 1}
    twins = TOKEN.findall(redactor.redact_text("project falcon, PROJECT FALCON").text)
    assert len(twins) == 2
    assert twins[0] == twins[1]


def test_deny_beats_allow_and_secrets_beat_allow() -> None:
    redactor = under(allow={"values": [MAIL, SECRET], "patterns": [".+"]}, deny=[{"values": [MAIL]}])
    assert redactor.redact_text(f"{MAIL} {SECRET} {SSN}").counts == {"DENIED": 1, "GITHUB_TOKEN": 1}


def test_a_denied_word_is_not_shown_as_a_part_of_something_else() -> None:
    operators = {"STREET_ADDRESS": {"operator": "mask", "keep_first": 9}}
    redactor = under(operators=operators, deny=[{"values": ["falcon"]}])
    result = redactor.redact_text("She lives at 12 Falcon Street, Leeds LS1 4AB")
    assert "Falcon" not in result.text
    assert result.counts["DENIED"] == 1
    assert result.counts["STREET_ADDRESS"] >= 1


def test_a_denied_word_goes_from_names_and_ids_within_texts() -> None:
    number = "4f5a2c7100d4e8b2"
    redacted = one(under(deny=[{"patterns": [number]}]), action=f"call_{number}", input=f"see {number}")
    assert redacted.event.action == "call_" + TOKEN.findall(redacted.event.action or "")[0]
    assert number not in redacted.payload.decode()


def test_ignored_types_are_left_to_others() -> None:
    redactor = under(ignore=["US_SSN"])
    assert redactor.redact_text(f"{SSN} and {MAIL}").text.startswith(SSN)


def test_an_override_holds_for_its_agents_alone_even_in_one_batch() -> None:
    redactor = under(
        operators={"EMAIL_ADDRESS": "mask"},
        overrides=[
            {"agents": ["billing/*"], "operators": {"EMAIL_ADDRESS": "keep"}},
            {"sources": ["legal"], "deny": [{"values": ["falcon"]}]},
        ],
    )
    messages = [
        [event(agent_id=agent, input=f"{MAIL} falcon")] for agent in ("billing/x", "other", "billing/y")
    ]
    kept, masked, again = (m[0].payload.decode() for m in redactor.redact(messages, "orders"))
    assert MAIL in kept and kept == again
    assert "*" * len(MAIL) in masked
    legal = redactor.redact(messages, "legal")
    assert MAIL in legal[0][0].payload.decode(), "agent before source"
    assert "falcon" not in legal[1][0].payload.decode()
    assert "*" * len(MAIL) in legal[1][0].payload.decode(), "the general rules hold too"
    reverse = redactor.redact([messages[1], messages[0]], "orders")
    assert [m[0].payload.decode() for m in reverse] == [masked, kept], "order changes nothing"


@pytest.mark.parametrize(
    ("agent", "source", "environment", "expected"),
    [
        ("billing/refunds", "", "", 3),
        ("billing/other", "", "", 2),
        ("billing/other", "orders", "prod", 2),
        ("x", "orders", "prod", 4),
        ("x", "", "prod", 5),
        ("x", "", "", 6),
        ("y", "", "test", 0),
    ],
)
def test_the_most_specific_override_decides(agent: str, source: str, environment: str, expected: int) -> None:
    overrides = [
        {"agents": ["b*"]},
        {"agents": ["billing/*", "zzz"]},
        {"agents": ["billing/refunds"]},
        {"sources": ["orders"]},
        {"environments": ["prod"]},
        {"environments": ["unknown"]},
        {"environments": ["unknown"], "ignore": ["US_SSN"]},
    ]
    made = policies(overrides=overrides)
    assert made.of(agent, source, environment) == expected
    assert made.of(agent, source, environment) == expected


def test_the_rules_for_one_agent_as_a_configuration() -> None:
    config = RedactionConfig.model_validate(
        {"ignore": ["NRP"], "overrides": [{"agents": ["a"], "ignore": ["US_SSN"]}]}
    )
    assert general_rules_for(config, "a").ignore == ("NRP", "US_SSN")
    assert general_rules_for(config, "b").ignore == ("NRP",)
    assert general_rules_for(config, "a").overrides == ()


def test_an_override_s_field_rules_come_first() -> None:
    made = policies(
        fields={"note": "drop", "ref": "mask"},
        overrides=[{"agents": ["a"], "fields": {"n*": "hash"}}],
    )
    number = made.at(made.of("a", "", ""), "input.note")
    assert made[number].operator("PERSON").operator == "hash"
    assert made[made.at(1, "ref")].operator("PERSON").operator == "mask"
    assert made[made.at(0, "note")].operator("PERSON").operator == "drop"
    assert made.at(0, "other") == 0


def test_end_users_agents_and_ids_are_pseudonyms_whatever_the_rules() -> None:
    redactor = under(
        operators={"*": "keep", "EMAIL_ADDRESS": "drop"}, fields={"*": "drop"}, allow={"values": [MAIL]}
    )
    redacted = one(
        redactor, end_user=MAIL, session_id="of Marta Lindqvist", agent_id=f"bot of {SSN} {MAIL}x.com"
    )
    default = one(under(), end_user=MAIL, session_id="of Marta Lindqvist")
    assert redacted.event.end_user == default.event.end_user
    denied = one(under(deny=[{"type": "VIP", "values": ["mr x"]}]), end_user="MR  X", input="mr x")
    assert denied.event.end_user in denied.payload.decode()
    assert (redacted.event.end_user or "").startswith("<EMAIL_ADDRESS:k1.")
    assert redacted.event.session_id == default.event.session_id
    assert redacted.event.agent_id.startswith(f"bot of {SSN} <EMAIL_ADDRESS:k1."), "kept, or a pseudonym"


def test_an_agent_is_found_under_its_name_whatever_the_operators() -> None:
    rules = {"operators": {"*": "mask"}, "deny": [{"type": "PROJECT", "values": ["project falcon"]}]}
    matcher = AliasMatcher(RedactionConfig.model_validate(rules), keys_of_the_tests())
    for name in (f"assistant of {MAIL}", "bot of Project  Falcon"):
        redacted = one(under(**rules), agent_id=name).event.agent_id
        assert redacted != name
        assert matcher.stands_for(redacted, name)


def test_agents_and_payload_keys_stay_apart_under_operators_that_would_make_them_alike() -> None:
    redactor = under(operators={"EMAIL_ADDRESS": "replace"})
    agents = {one(redactor, agent_id=f"bot-{n}@example.org").event.agent_id for n in range(3)}
    assert len(agents) == 3
    document = json.loads(redactor.redact_text(json.dumps({f"u{n}@example.org": n for n in range(3)})).text)
    assert sorted(document.values()) == [0, 1, 2]


def test_names_found_elsewhere_in_the_message_meet_the_operator() -> None:
    redacted = one(
        under(operators={"PERSON": "replace"}, fields={"free": "keep"}),
        input={"first_name": "Margaret", "note": "Margaret called", "free": "Margaret called"},
    )
    document = json.loads(redacted.payload)["input"]
    assert document == {"first_name": "<PERSON>", "note": "<PERSON> called", "free": "Margaret called"}
    assert redacted.redactions == {"PERSON": 2}


@pytest.mark.parametrize(
    ("rules", "reasons"),
    [
        ({"operators": {"PERSONN": "mask"}}, ["operators: PERSONN is not looked for", "PERSON?", "US_SSN"]),
        ({"overrides": [{"ignore": ["SNN"]}]}, ["overrides.0.ignore: SNN"]),
        ({"operators": {"person": "mask"}}, ["operators.person"]),
        ({"fields": {"end_user": "keep"}}, ["fields.end_user", "fixed", "*.end_user"]),
        ({"fields": {"agent_id": "drop"}}, ["fields.agent_id"]),
        ({"operators": {"USER_ID": "drop"}}, ["operators.USER_ID", "always become pseudonyms"]),
        ({"ignore": ["GITHUB_TOKEN"]}, ["ignore: GITHUB_TOKEN is a secret", "keep"]),
        (
            {"deny": [{"type": "MY_WORD"}], "operators": {"MY_WORD": "keep"}},
            ["deny: MY_WORD is denied and kept"],
        ),
        ({"deny": [{"type": "my word"}]}, ["deny.0.type"]),
        ({"fields": {"a": {"operator": "mask", "keep_lst": 1}}}, ["fields.a", "keep_lst"]),
    ],
)
def test_rules_that_cannot_be_are_refused_by_name(rules: dict, reasons: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        RedactionConfig.model_validate(rules)
    for reason in reasons:
        assert reason in str(caught.value)


@pytest.mark.parametrize(("pattern", "reason"), [("(?=a)", "invalid perl operator"), ("x*", "empty text")])
def test_a_pattern_that_is_no_good_is_named(pattern: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"redaction\.overrides\.0\.deny\.0\.patterns\.1: .*{reason}"):
        policies(overrides=[{"deny": [{"patterns": ["ok", pattern]}]}])


def test_a_kept_secret_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    policies(operators={"JWT": "keep", "*": "keep"})
    assert capsys.readouterr().err == "WARNING: redaction.operators.JWT: a secret is kept\n"


def test_config_check_looks_at_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "auditfuse.toml"
    file.write_text('[redaction.operators]\nJWT = { operator = "mask", keep_last = 4 }\n')
    result = CliRunner().invoke(config_app, ["check"])
    assert result.exit_code == 0, result.output
    assert "WARNING: redaction.operators.JWT: a secret is shown in part" in result.stderr
    file.write_text('[[redaction.deny]]\npatterns = ["(?<=a)b"]\n')
    assert "redaction.deny.0.patterns.0" in str(CliRunner().invoke(config_app, ["check"]).exception)


def test_rules_for_types_of_the_user_s_own_recognizers(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "recognizers:\n- name: Badge\n  supported_entity: BADGE\n  supported_language: en\n"
        "  patterns: [{name: badge, regex: 'B-[0-9]{5}', score: 0.9}]\n"
    )
    rules = {"recognizers_file": tmp_path / "own.yaml", "operators": {"BADGE": "replace"}}
    assert fresh(names=False, **rules).redact_text("badge B-12345").text == "badge <BADGE>"
    with pytest.raises(ConfigError, match="BADGES is not looked for; is it BADGE"):
        policies(**rules | {"operators": {"BADGES": "drop"}})


def test_thousands_of_phrases_cost_no_more_than_a_few() -> None:
    many = Finder([f"word{n:05}" for n in range(20_000)] + ["a" * n for n in range(2, 201)], [], "")
    text = "word00017 and word20000, word1 " + "a" * 200 + " " + "a" * 201
    assert sorted(text[a:b] for a, b in many.find(text)) == ["a" * 200, "word00017"]
