"""The policy: how it is read, whom its rules are about, what is suspicious in it."""

from datetime import datetime
from pathlib import Path

import pytest
from support.docs import ROOT
from support.running import auditfuse
from support.signals import START_MS, detect, signal, signals

from detectors.policy import Policy
from detectors.registry import DETECTORS
from pipeline.config import load_config
from pipeline.decode.sources import SourceConfig
from pipeline.detect import DetectConfig, Detection, Found
from pipeline.detect.policy_check import overlap, warnings
from pipeline.errors import ConfigError

EXAMPLE = ROOT / "docs" / "policy.example.toml"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(policy: str, more: str = "") -> None:
    Path("policy.toml").write_text(policy)
    Path("auditfuse.toml").write_text(f'[detect]\npolicy_file = "policy.toml"\n{more}')


def configured(**tables: object) -> DetectConfig:
    return DetectConfig(policy=Policy.model_validate(tables))


def of(found: list[Found], detector: str) -> list[tuple[str, str, dict[str, str], bool]]:
    return [
        (f.finding.environment, f.finding.agent_id, f.finding.key, f.finding.may_trip)
        for f in found
        if f.finding.detector == detector
    ]


def test_the_content_of_the_file_is_the_configuration_and_its_place_is_not() -> None:
    write('[[forbidden]]\ntools = ["drop_*"]\n')
    first = load_config().detect
    assert first.policy.forbidden[0].tools == ("drop_*",)
    Path("elsewhere.toml").write_text('# said again\n[[forbidden]]\ntools = ["drop_*"]\n')
    Path("auditfuse.toml").write_text('[detect]\npolicy_file = "elsewhere.toml"\n')
    assert load_config().detect.hash == first.hash
    write('[[forbidden]]\ntools = ["delete_*"]\n')
    assert load_config().detect.hash != first.hash
    assert DetectConfig().hash != first.hash


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[forbiden]]\n", "policy.toml: forbiden: there is no such option"),
        ('[[forbidden]]\ntool = ["x"]\n', "policy.toml: forbidden.0.tool: there is no such option"),
        ('[[forbidden]]\nagents = ["x"]\n', "policy.toml: forbidden.0: say what is forbidden"),
        ('[[forbidden]]\ntools = ["x"]\nagents = []\n', "policy.toml: forbidden.0.agents: "),
        ("[[rate_limits]]\ntools = ['x']\n", "policy.toml: rate_limits.0: say how often"),
        ("[[hours]]\ntimezone = 'Mars/Crater'\n", "policy.toml: hours.0.timezone: the system knows no time"),
        ("[[hours]]\nstart = '25:00'\n", "policy.toml: hours.0.start: "),
        ("[[credentials]]\nids = ['x']\n", "policy.toml: credentials.0: say what holds"),
        ("[[scopes]]\n", "policy.toml: scopes.0.granted: "),
        ("[[scopes\n", "policy.toml is not TOML"),
    ],
)
def test_every_mistake_is_named_by_file_key_and_reason(text: str, told: str) -> None:
    write(text)
    with pytest.raises(ConfigError, match=r"(?s).*") as raised:
        load_config()
    assert told in str(raised.value)


def test_a_policy_stands_in_one_place() -> None:
    write('[[forbidden]]\ntools = ["x"]\n', '[[detect.policy.forbidden]]\ntools = ["y"]\n')
    with pytest.raises(ConfigError, match="not in both"):
        load_config()


def test_the_environment_names_a_policy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("policy.toml").write_text('[[forbidden]]\ntools = ["x"]\n')
    monkeypatch.setenv("AUDITFUSE_DETECT__POLICY_FILE", "policy.toml")
    assert load_config().detect.policy.forbidden
    monkeypatch.setenv("AUDITFUSE_DETECT__POLICY_FILE", "nowhere.toml")
    with pytest.raises(ConfigError, match=r"nowhere\.toml does not exist"):
        load_config()


def test_the_example_holds() -> None:
    Path("policy.toml").write_bytes(EXAMPLE.read_bytes())
    Path("auditfuse.toml").write_text('[detect]\npolicy_file = "policy.toml"\n')
    policy = load_config().detect.policy
    assert policy.forbidden and policy.scopes and policy.credentials and policy.rate_limits and policy.hours
    Detection(load_config().detect)


def test_config_check_warns_of_globs_that_cover_nobody() -> None:
    write(
        '[[forbidden]]\nagents = ["invoce-*", "invoice-1", "source:s"]\ntools = ["x"]\n',
        '[[sources]]\nname = "s"\ntopic = "t"\nformat = "events"\nagents = ["invoice-*"]\n'
        'environments = ["prod"]\n',
    )
    done = auditfuse("config", "check", cwd=Path.cwd())
    assert done.stderr.strip() == (
        "WARNING: policy.toml: forbidden.0.agents: 'invoce-*' covers none of the agents that sources may "
        "speak for"
    )


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("invoice-1", "invoice-*", True),
        ("*-eu", "invoice-*", True),
        ("invoice-?", "invoice-", False),
        ("a[bc]d", "abd", True),
        ("*", "", True),
        ("prod", "staging", False),
        ("*a*b*a*b*a*", "*b*a*b*a*b*", True),
        ("a*b", "a*c", False),
    ],
)
def test_globs_that_cover_a_common_name(one: str, other: str, together: bool) -> None:
    assert overlap(one, other) is together
    assert overlap(other, one) is together


def test_nothing_is_suspicious_where_every_agent_may_speak() -> None:
    source = SourceConfig(name="s", topic="t", format="events", agents=("*",), environments=("*",))
    policy = Policy.model_validate({"forbidden": [{"agents": ["a"], "tools": ["x"]}]})
    assert list(warnings(policy, [source])) == []


def test_a_detector_of_a_table_without_rules_is_not_run() -> None:
    of_tables = {d.name for d in DETECTORS if getattr(d, "policy", None)} - {
        d.name for d in DETECTORS if getattr(d, "policy_optional", False)
    }
    assert {"forbidden", "rate_limit", "off_hours", "scope_not_granted"} <= of_tables
    assert not of_tables & {rule.name for rule in Detection(DetectConfig())._rules}


def test_whom_a_rule_is_about() -> None:
    config = configured(
        forbidden=[
            {"agents": ["a-*"], "except_agents": ["a-2"], "environments": ["prod"], "tools": ["drop"]},
            {"agents": ["a-2"], "tools": ["drop"], "environments": ["staging"]},
        ]
    )
    rows = [
        signal(START_MS + i, agent_id=agent, environment=environment, action="drop")
        for i, (agent, environment) in enumerate(
            [("a-1", "prod"), ("a-2", "prod"), ("a-2", "staging"), ("A-1", "prod"), ("a-1", "staging")]
        )
    ]
    assert [row[:2] for row in of(detect(rows, config), "forbidden")] == [
        ("prod", "a-1"),
        ("staging", "a-2"),
    ]


def test_no_rule_undoes_another() -> None:
    config = configured(
        forbidden=[{"tools": ["drop_*"]}, {"agents": ["invoice-agent"], "tools": ["other"]}],
        rate_limits=[{"per_minute": 5}, {"agents": ["invoice-agent"], "per_minute": 50}],
    )
    found = detect(signals(START_MS, 10, 10, action="drop_all"), config)
    assert len(of(found, "forbidden")) == 1
    assert [row[2] for row in of(found, "rate_limit")] == [{"limit": "5 a minute"}]


def test_only_what_is_bound_punctual_and_stamped_by_the_broker_may_trip() -> None:
    config = configured(forbidden=[{"tools": ["drop"]}])
    rows = [
        signal(START_MS, action="drop"),
        signal(START_MS + 1, action="drop", bound=False, agent_id="victim"),
        signal(START_MS + 2, action="drop", broker_time_kind="create"),
        signal(START_MS + 3, action="drop") | {"start_time_unix_nano": (START_MS - 600_000) * 1_000_000},
    ]
    labels = {"tool": "drop"}
    found = of(detect(rows, config), "forbidden")
    for expected in (
        ("prod", "invoice-agent", labels, True),
        ("unbound", "source:topic:events", {"source": "topic:events"} | labels, False),
        ("prod", "invoice-agent", {"clock": "create"} | labels, False),
        ("prod", "invoice-agent", {"arrival": "late"} | labels, False),
    ):
        assert expected in found
    assert len(found) == 4


def test_reported_once_an_hour() -> None:
    config = configured(forbidden=[{"tools": ["drop"]}])
    found = detect(signals(START_MS, 90, 3 * 3600, action="drop"), config)
    assert [f.finding.window_start_ms for f in found if f.finding.detector == "forbidden"] == [
        START_MS + hour * 3_600_000 for hour in range(3)
    ]


def test_endless_new_names_make_a_bounded_number_of_findings() -> None:
    config = configured(forbidden=[{"tools": ["*"]}])
    rows = [signal(START_MS + i, action=f"tool-{i}", action_kind="read") for i in range(500)]
    found = of(detect(rows, config), "forbidden")
    assert len(found) == 51
    assert found[-1][2] == {"tool": "…", "target": "…"}


@pytest.mark.parametrize(
    ("at", "allowed"),
    [
        ("2026-03-27T20:59:00Z", False),  # Friday, 21:59 CET
        ("2026-03-27T23:30:00Z", False),  # Saturday, 00:30: it belongs to Friday's hours
        ("2026-03-28T21:00:00Z", True),  # Saturday, 22:00
        ("2026-03-29T00:59:00Z", True),  # Sunday, 01:59: the last minute before summer time
        ("2026-03-29T01:00:00Z", False),  # 03:00 CEST at once
        ("2026-03-29T19:59:00Z", False),
        ("2026-03-29T20:00:00Z", True),  # 22:00 CEST, an hour earlier than the day before
        ("2026-03-30T00:59:00Z", True),  # Monday, 02:59: Sunday's hours
        ("2026-03-30T01:00:00Z", False),
    ],
)
def test_hours_past_midnight_in_a_zone_with_summer_time(at: str, allowed: bool) -> None:
    config = configured(
        hours=[{"days": ["sat", "sun"], "start": "22:00", "end": "03:00", "timezone": "Europe/Berlin"}]
    )
    at_ms = int(datetime.fromisoformat(at).timestamp() * 1000)
    found = detect([signal(at_ms, action_kind="write")], config)
    assert (of(found, "off_hours") == []) is allowed


def test_backdating_into_the_hours_hides_nothing() -> None:
    config = configured(hours=[{"start": "00:00", "end": "12:00"}])
    night_ms = START_MS // 86_400_000 * 86_400_000 + 20 * 3_600_000
    backdated = signal(night_ms, action_kind="write") | {
        "start_time_unix_nano": (night_ms - 10 * 3_600_000) * 1_000_000
    }
    thinking = signal(night_ms - 1, action="think", action_kind="none")
    assert len(of(detect([thinking, backdated], config), "off_hours")) == 1


@pytest.mark.parametrize(
    ("text", "expired"),
    [
        ("1970-01-02", True),
        ("2026-09-21T15:58:59+02:00", True),
        ("1", True),
        ("99999999999", False),
        ("4102444800000", False),
        ("2100-01-01T00:00:00Z", False),
        ("<PHONE_NUMBER:k1.0000000000000000>", False),
        ("", False),
        ("٣", False),
        ("9" * 400, False),
    ],
)
def test_expiries_in_every_form(text: str, expired: bool) -> None:
    found = detect([signal(START_MS, credential_expires=text)])
    assert bool(of(found, "expired_credential")) is expired
