"""Detectors of one's own: how modules are loaded, what a mistake says, and that a failure stays alone."""

import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from support.docs import ROOT
from support.running import auditfuse
from support.signals import START_MS, batch, detect, idle, signal, signals

from pipeline.config import load_config
from pipeline.detect import DetectConfig, Detection
from pipeline.detect.guard import OwnDetectors
from pipeline.detect.own import own_detectors
from pipeline.errors import ConfigError

PAGE = (ROOT / "docs" / "own-detectors.md").read_text()
EXAMPLE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def module(text: str = EXAMPLE, name: str = "mine.py") -> DetectConfig:
    """A configuration with a module of this text."""
    Path(name).write_text(text)
    return DetectConfig(modules=(name,))


def changed(*pairs: tuple[str, str]) -> str:
    """The example with other text in some places."""
    text = EXAMPLE
    for before, after in pairs:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


def in_line(text: str) -> str:
    """Where a text of the example stands."""
    return f" in line {EXAMPLE[: EXAMPLE.index(text)].count(chr(10)) + 1}"


def run(*arguments: str) -> Any:
    return auditfuse("detector", *arguments, cwd=Path.cwd(), check=False)


def test_the_example_of_the_page_holds_by_its_own_cases() -> None:
    module()
    done = run("test", "mine.py")
    assert (done.returncode, done.stdout) == (0, "4 of 4 cases of 2 detectors hold.\n")


def test_it_finds_what_it_is_configured_for() -> None:
    config = module().model_copy(update={"own": {"huge_prompt": {"max_tokens": 10}}})
    rows = [signal(START_MS, input_tokens=11, model="m"), signal(START_MS + 1, input_tokens=10, model="n")]
    rows += signals(START_MS + 100, 40, 10, action="refund")
    found = {(f.finding.detector, f.finding.kind, f.finding.may_trip) for f in detect(rows, config)}
    assert {("huge_prompt", "rule", True), ("refund_burst", "floor", True)} <= found


def test_a_failing_case_is_told_with_its_reason() -> None:
    module(changed(('"input_tokens": 150_000', '"input_tokens": 15')))
    done = run("test", "mine.py", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["failures"] == [
        {"detector": "huge_prompt", "case": "a step of 150,000 tokens", "why": "expected rule, found nothing"}
    ]
    module(changed(('"input_tokens": 90_000', '"input_token": 90_000'), ('fires=["floor"],', "")))
    done = run("test", "mine.py")
    assert done.returncode == 1
    assert "refund_burst: it has no case that fires" in done.stdout
    assert "huge_prompt: many steps of 90,000: signals have no input_token" in done.stdout


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ([('name: ClassVar[str] = "huge_prompt"', 'name = "huge prompt"')], "HugePrompt needs a name"),
        ([('= "huge_prompt"', '= "forbidden"')], "a detector that ships has this name"),
        ([('= "huge_prompt"', '= "refund_burst"')], "two detectors are called 'refund_burst'"),
        ([('severity = "warning"', 'severity = "high"')], "severity must be one of info, warning, critical"),
        ([("    def floor_hits", "    def flor_hits")], "detector refund_burst counts and lacks floor_hits"),
        ([("class HugePrompt(RowRule)", "class HugePrompt")], "is a rule (it has no hits) and lacks observe"),
        ([("    def violations", "    def violation")], "is a rule (it has no hits) and lacks violations"),
        (
            [("DETECTORS =", "HugePrompt.cases = None\nDETECTORS =")],
            "cases must be a tuple of detect",
        ),
        ([("DETECTORS =", "DETECTOR =")], "mine.py has no DETECTORS = (YourDetector, …)"),
        ([("import polars as pl", "import polers as pl")], f"ModuleNotFoundError{in_line('import polars')}"),
        ([("class RefundBurst:", "class RefundBurst")], f"SyntaxError{in_line('class RefundBurst:')}"),
        ([("    Config = HugePromptConfig\n", "")], "Config must be a subclass of detectors.base.Detector"),
        (
            [("        super().__init__()", "        1 / 0")],
            f"DivisionError{in_line('super().__init__')}",
        ),
    ],
)
def test_a_mistake_in_a_module_is_an_error_of_the_configuration(pairs: Any, told: str) -> None:
    config = module(changed(*pairs))
    with pytest.raises(ConfigError) as raised:
        OwnDetectors(config)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"huge_prompt": {"max_token": 3}}, "detect.own.huge_prompt.max_token: there is no such option"),
        ({"huge_prompt": {"max_tokens": "many"}}, "detect.own.huge_prompt.max_tokens: Input should be"),
        ({"hugeprompt": {}}, "detect.own.hugeprompt: no module of detect.modules has such a detector"),
    ],
)
def test_settings_are_checked(own: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        OwnDetectors(module().model_copy(update={"own": own}))


def test_a_module_that_is_not_there_or_that_everybody_may_write() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.py is not a file"):
        DetectConfig(modules=("nowhere.py",)).hash  # noqa: B018 (reading it is the test)
    with pytest.raises(ConfigError, match="there is no module 'no_such_module'"):
        DetectConfig(modules=("no_such_module",)).hash  # noqa: B018
    config = module()
    Path("mine.py").chmod(0o646)
    with pytest.raises(ConfigError, match=r"everybody may write to mine\.py; chmod o-w mine\.py"):
        config.hash  # noqa: B018
    Path("mine.py").chmod(0o644)
    Path.cwd().chmod(0o777)
    with pytest.raises(ConfigError, match="everybody may write to"):
        config.hash  # noqa: B018


def test_the_content_is_part_of_the_configuration_and_the_place_is_not() -> None:
    first = module().hash
    assert module(name="other.py").hash == first
    assert module(EXAMPLE + "\n").hash != first
    assert module().model_copy(update={"own": {"huge_prompt": {"max_tokens": 3}}}).hash != first
    assert first != DetectConfig().hash


def test_what_was_checked_is_what_runs() -> None:
    config = module(EXAMPLE + "\n# as checked\n")
    told = config.module_digests
    Path("mine.py").write_text(EXAMPLE + "\n# changed\n")
    with pytest.raises(ConfigError, match=r"mine\.py has changed since it was read"):
        own_detectors(told)


def test_another_process_has_the_same_configuration() -> None:
    config = module()
    digests, told = config.module_digests, config.hash
    Path("mine.py").unlink()
    there = pickle.loads(pickle.dumps(config))
    assert (there.module_digests, there.hash) == (digests, told)


def test_importable_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    module(name="team_detectors.py")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    assert len(own_detectors(DetectConfig(modules=("team_detectors",)).module_digests)) == 2


@pytest.mark.parametrize(
    ("pair", "what"),
    [
        (('"input_tokens") > self', '"no_such_column") > self'), "huge_prompt failed (Column"),
        (
            ('(pl.col("action") == "refund")', 'pl.col("model").cast(pl.Int32)'),
            "refund_burst failed (Comp",
        ),
        (
            ("        huge = rows", "        return None\n        huge = rows"),
            "huge_prompt failed (Attr",
        ),
        (('return f"A step took', 'return 7 or f"A step took'), "huge_prompt failed (ValidationError"),
    ],
)
def test_what_fails_is_off_and_the_others_go_on(pair: tuple[str, str], what: str) -> None:
    rows = signals(START_MS, 40, 20, outcome="denied", action="refund", model="m", input_tokens=200_000)
    found = detect(rows, module(changed(pair)), size=10)
    told = [f.finding for f in found if f.finding.detector == "detector_failed"]
    assert len(told) == 1
    assert what in told[0].summary
    assert not told[0].may_trip
    assert "auth_failure" in {f.finding.detector for f in found}


def test_one_that_never_returns_is_off_and_the_others_go_on() -> None:
    slow = changed(
        (
            "        huge = rows",
            "        import time\n        while True: time.sleep(0.05)\n        huge = rows",
        )
    )
    config = module(slow).model_copy(update={"own_limit_s": 0.3})
    found = detect(signals(START_MS, 40, 20, outcome="denied"), config, size=10)
    told = [f.finding.summary for f in found if f.finding.detector == "detector_failed"]
    assert told == ["The detector huge_prompt failed (TooSlow) and looks at nothing any more"]
    assert "auth_failure" in {f.finding.detector for f in found}


def test_ones_own_statistics_share_the_budget_of_false_pages() -> None:
    """The example's refund_burst is one statistic more; off, it takes nothing from the others."""
    shipped = DetectConfig().page_at
    counted = module()
    assert counted.page_at > shipped
    off = counted.model_copy(update={"own": {"refund_burst": {"enabled": False}}})
    assert off.page_at == shipped


def test_what_has_failed_stays_off_over_a_restart() -> None:
    config = module(
        changed(("        huge = rows", "        if len(rows) == 3:\n            1 / 0\n        huge = rows"))
    )
    detection = Detection(config)
    told = [f.finding.detector for f in detection.observe(batch(signals(START_MS, 3)))]
    assert told == ["detector_failed"]
    again = Detection.restore(config, detection.snapshot())
    assert again.snapshot() == detection.snapshot()
    huge = [signal(START_MS + 10, input_tokens=200_000)]
    assert again.observe(batch(huge, start=3)) == []
    assert again.observe(idle(4, START_MS + 600_000)) == []


def test_shadow_and_off() -> None:
    rows = [signal(START_MS, input_tokens=200_000)]
    config = module().model_copy(update={"own": {"huge_prompt": {"shadow": True}}})
    assert [(f.finding.shadow, f.finding.may_trip) for f in detect(rows, config)] == [(True, False)]
    config = config.model_copy(update={"own": {"huge_prompt": {"enabled": False}}})
    assert detect(rows, config) == []


def test_the_list_names_every_detector_and_whether_it_looks() -> None:
    module()
    Path("auditfuse.toml").write_text(
        '[detect]\nmodules = ["mine.py"]\n[detect.own.refund_burst]\nshadow = true\n'
        "[detect.write_burst]\nenabled = false\n"
    )
    rows = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}
    assert rows["refund_burst"] | {"finds": ""} == {
        "name": "refund_burst",
        "finds": "",
        "kind": "statistical, floor",
        "severity": "critical",
        "enabled": True,
        "shadow": True,
        "looks": True,
        "why_not": None,
        "learning": "240 minutes, 200 events",
        "origin": "mine.py",
        "runbook": "https://wiki.example.org/runbooks/refund-burst",
        "needs": ["action"],
    }
    assert (rows["write_burst"]["looks"], rows["write_burst"]["why_not"]) == (False, "not enabled")
    assert rows["forbidden"]["why_not"] == "no rule in the policy"
    assert "huge_prompt" in run("list").stdout


def test_run_and_check_refuse_a_broken_module_before_anything_is_read() -> None:
    module(changed(("class RefundBurst:", "class RefundBurst")))
    Path("auditfuse.toml").write_text(
        '[detect]\nmodules = ["mine.py"]\n[[sources]]\nname = "s"\ntopic = "t"\nformat = "events"\n'
        'agents = ["*"]\nenvironments = ["*"]\n'
    )
    load_config()  # other commands do not run the modules
    for verb in (("run",), ("config", "check")):
        done = auditfuse(*verb, cwd=Path.cwd(), check=False)
        assert done.returncode == 2
        assert "mine.py cannot be loaded: SyntaxError in line" in done.stderr
    assert not os.path.exists("auditfuse-data/store")  # noqa: PTH110
