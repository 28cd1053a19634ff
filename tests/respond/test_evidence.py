"""The evidence bundle: whole, provable, the same bytes; and the commands around an incident's page."""

import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.incident import AGENT, ONSET_MS, TRIP_ID, seal_findings, story_state, story_store
from support.proof import KEY, checkpoint_now
from support.running import write_config
from typer.testing import CliRunner

from pipeline.audit.proof.check import check_proof
from pipeline.audit.store import Store
from pipeline.cli import build_app
from pipeline.errors import AuditfuseError, ConfigError
from pipeline.respond.evidence.bundle import Bundle, build
from pipeline.respond.state import StateDatabase

RUN = CliRunner()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a configuration, a checkpointed store and a state database."""
    folder = tmp_path_factory.mktemp("story")
    store = story_store(folder / "store")
    state, incident_id = story_state(folder)
    seal_findings(state, store)
    checkpoint_now(store)
    write_config(
        folder,
        store={"path": str(folder / "store")},
        state={"url": f"sqlite:///{folder / 'state.db'}"},
        keys={"path": str(folder / "keys")},
        killswitch={"journal": str(folder / "journal")},
        checkpoint={"trusted": [str(KEY.public)], "state": str(folder / "checkpoint")},
        respond={"public_url": "https://auditfuse.example.com/"},
    )
    return folder, incident_id


def state_of(folder: Path) -> StateDatabase:
    from pipeline.config import load_config

    return StateDatabase(load_config(folder / "auditfuse.toml").state)


def bundle_of(story: tuple[Path, str], **options: Any) -> Bundle:
    folder, incident_id = story
    detail = state_of(folder).incident(incident_id)
    return build(Store(folder / "store"), detail, [KEY.public], "c0ffee", **options)


def files_of(bundle: Bundle) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(bundle.content)) as archive:
        assert archive.testzip() is None
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def run(folder: Path, *arguments: str, code: int = 0) -> str:
    result = RUN.invoke(build_app(), [*arguments, "--config", str(folder / "auditfuse.toml")])
    if isinstance(result.exception, AuditfuseError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


def test_the_bundle_holds_rows_that_can_be_proved(story: tuple[Path, str]):
    bundle = bundle_of(story)
    files = files_of(bundle)
    assert (bundle.events, bundle.is_cut, bundle.unproved) == (150, False, None)
    events = [json.loads(line) for line in files["events.ndjson"].splitlines()]
    assert len(events) == 150
    assert {event["outcome"] for event in events} == {"error"}
    assert {event["agent_id"] for event in events} == {AGENT}
    assert "<EMAIL_ADDRESS:k1." in files["events.ndjson"].decode(), "redacted, as it was sealed"
    for name, rows in (("events", 150), ("findings", 2), ("commands", 1)):
        report = check_proof(files[f"proofs/{name}.json"], [KEY.public])
        assert report.holds, report
        assert len(report.rows) == rows
        assert {row.offset for row in report.rows}, name
    assert json.loads(files["commands.ndjson"])["id"] == TRIP_ID
    assert [json.loads(line)["kind"] for line in files["findings.ndjson"].splitlines()] == [
        "finding",
        "incident",
    ]


def test_every_file_is_in_the_manifest_with_its_hash(story: tuple[Path, str]):
    files = files_of(bundle_of(story))
    manifest = json.loads(files.pop("manifest.json"))
    assert manifest["format"] == "auditfuse-incident/1"
    assert set(manifest["files"]) == set(files)
    for name, facts in manifest["files"].items():
        assert facts == {"bytes": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()}


def test_the_same_incident_gives_the_same_bytes(story: tuple[Path, str]):
    assert bundle_of(story).content == bundle_of(story).content


def test_texts_are_filled_in(story: tuple[Path, str]):
    files = files_of(bundle_of(story))
    timeline = files["timeline.md"].decode()
    assert "| 2026-01-01 01:41:01 UTC | trip to read only | auditfuse |" in timeline
    assert timeline.index("it began") < timeline.index("trip to read only") < timeline.index("open |")
    message = files["communication.md"].decode()
    assert f"Since 2026-01-01 01:40:00 UTC the agent {AGENT} in production" in message
    assert "new version 1.5.0 of the agent" in message
    assert f"- [ ] {TRIP_ID}: one asks" in files["back-out.md"].decode()
    assert files["plot.svg"].startswith(b"<svg ")
    assert json.loads(files["configuration.json"])["is_unchanged"] is True


def test_without_payload_nothing_of_it_is_there_and_the_proof_holds(story: tuple[Path, str]):
    files = files_of(bundle_of(story, with_payload=False))
    assert not any(b"EMAIL_ADDRESS:k1" in content for content in files.values())
    assert check_proof(files["proofs/events.json"], [KEY.public]).holds


def test_what_no_checkpoint_covers_is_told_and_not_proved(story: tuple[Path, str], tmp_path: Path):
    incident_id = story[1]
    store = story_store(tmp_path / "store")
    state, _ = story_state(tmp_path)
    seal_findings(state, store)
    bundle = build(store, state.incident(incident_id), [], "other")
    assert bundle.unproved is not None and "no checkpoint" in bundle.unproved
    files = files_of(bundle)
    assert not any(name.startswith("proofs/") for name in files)
    assert "Some rows are not proved" in files["README.md"].decode()
    assert json.loads(files["configuration.json"])["is_unchanged"] is False


def test_text_of_agents_is_inert_in_markdown(tmp_path: Path):
    evil = "x | y [pay](https://evil.example) <b> `rm` **now**\n# head"
    store = story_store(tmp_path / "store")
    state, incident_id = story_state(tmp_path, summary=evil)
    seal_findings(state, store)
    files = files_of(build(store, state.incident(incident_id), [], "h"))
    for name in ("README.md", "timeline.md", "communication.md", "back-out.md"):
        text = files[name].decode()
        for live in ("](http", "<b>", "`rm`", "**now**", "\n# head", "x | y"):
            assert live not in text, (name, live)


def test_commands_export_verify_show_preview_and_link(story: tuple[Path, str], tmp_path: Path):
    folder, incident_id = story
    out = tmp_path / "incident.zip"
    told = json.loads(run(folder, "incidents", "export", incident_id, "--out", str(out), "--json"))
    assert (told["events"], told["unproved"]) == (150, None)
    shutil.unpack_archive(out, tmp_path)
    proof = str(tmp_path / incident_id / "proofs" / "events.json")
    key = str(tmp_path / incident_id / "keys.pub")
    result = RUN.invoke(build_app(), ["verify", "--proof", proof, "--key", key])
    assert result.exit_code == 0, result.output
    shown = run(folder, "incidents", "show", incident_id)
    assert "1. target crm.example fails for 2 of 3 other agents too" in shown
    assert f"open: https://auditfuse.example.com/incidents/{incident_id}\n" in shown
    picture = tmp_path / "page.svg"
    page = json.loads(run(folder, "page", "preview", incident_id, "--json", "--plot", str(picture)))
    assert page["dedup_key"] == incident_id and picture.read_text().startswith("<svg ")
    assert "since 2026-01-01 01:40:00 UTC" in page["title"]
    url = run(folder, "incidents", "link", incident_id, "--for", "nora").strip()
    assert url.startswith(f"https://auditfuse.example.com/incidents/{incident_id}?link=")
    assert len(url.partition("?link=")[2]) >= 43
    with pytest.raises(ConfigError, match=r"a \.png or a \.svg"):
        run(folder, "page", "preview", incident_id, "--plot", str(tmp_path / "page.gif"))
    with pytest.raises(AuditfuseError, match="no incident"):
        run(folder, "incidents", "link", "inc_none", "--for", "nora")


def test_a_page_says_when_it_began_as_closely_as_that_is_known(story: tuple[Path, str]):
    folder, incident_id = story
    lead = state_of(folder).incident(incident_id).lead
    assert lead.finding.window_start_ms == ONSET_MS
    from pipeline.respond.page import began_ms

    assert began_ms(lead.finding, {"minute_from_ms": ONSET_MS + 20_000}, None) == ONSET_MS + 20_000
