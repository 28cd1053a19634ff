"""Pages say what is true: examples load, links lead somewhere, and no machine of ours is named."""

import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from support.docs import PAGES, ROOT, fences
from support.running import auditfuse

from pipeline.decode.action_kind import ToolPatterns
from pipeline.decode.base import DeadLetter
from pipeline.decode.message import decode_message
from pipeline.decode.sources import SourceConfig

EXAMPLE = ROOT / "docs" / "auditfuse.example.toml"
TARGETS = {
    "PAGE_ONCALL": "pagerduty://integrationkey@apikey",
    "PAGE_CHAT": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#oncall",
    "PAGE_PHONE": "json://127.0.0.1/phone",
}
TOML = [fence for fence in fences() if fence.language == "toml"]
JSON = [fence for fence in fences() if fence.language == "json"]
SOURCE = SourceConfig(name="s", topic="t", format="events", agents=("*",), environments=("*",))
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)")
_MACHINE = re.compile(
    # Written so that the pattern is not what it looks for.
    r"/(?:[w]ork|[r]oot|home/\w+)/|/[t]mp/|\.\./shared/(?!data\b)|[i]ndex-url|"
    r"p[y]pi\.org|pythonh[o]sted|repo1?\.mav[e]n",
    re.IGNORECASE,
)


def test_the_example_configuration_holds(tmp_path: Path):
    done = auditfuse("config", "check", "--config", str(EXAMPLE), cwd=tmp_path, env=environment(TARGETS))
    assert done.stdout.startswith("The configuration holds.")


@pytest.mark.parametrize("fence", TOML, ids=lambda fence: fence.page)
def test_every_toml_block_is_configuration_that_loads(fence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from pipeline.config import load_config

    (tmp_path / "auditfuse.toml").write_text(fence.text.replace('"…"', f'"{"0" * 64}"'))
    monkeypatch.chdir(tmp_path)
    load_config()


@pytest.mark.parametrize("fence", JSON, ids=lambda fence: fence.page)
def test_every_json_block_is_an_event_that_is_understood(fence):
    (decoded,) = decode_message(
        fence.text.encode(),
        topic_id="t." + "0" * 32,
        partition=0,
        offset=0,
        broker_time_ms=1_793_577_607_871,
        source=SOURCE,
        patterns=ToolPatterns(),
    )
    assert not isinstance(decoded.event, DeadLetter), decoded
    assert set(msgspec.json.decode(fence.text)) <= set(decoded.event.__struct_fields__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    for link in _LINK.findall(page.read_text()):
        assert (page.parent / link).exists(), link


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    for path in sorted((ROOT / "docs").iterdir()):
        if path.name != "README.md":
            assert f"]({path.name}" in index, f"docs/README.md does not link {path.name}"
    for runbook in (ROOT / "docs" / "runbooks").iterdir():
        assert f"](runbooks/{runbook.name})" in index


def test_no_file_of_the_repository_names_a_registry_or_a_machine():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert listed
    here = Path(__file__).resolve()
    faults = []
    for name in listed:
        path = ROOT / name
        if not path.is_file() or path == here:
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        faults += [f"{name}: {match[0]}" for match in _MACHINE.finditer(text)]
    assert not faults


def environment(extra: dict[str, str]) -> dict[str, str]:
    import os

    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUDITFUSE_", "PAGE_"))}
    return kept | extra
