"""The commands and the configuration of a store on S3."""

import json
import os
import sys
from pathlib import Path

import pytest
from support.audit import START_MS
from support.running import auditfuse, write_config
from support.s3 import FakeS3
from typer.testing import CliRunner

from pipeline.audit.verify import verify_store
from pipeline.commands.config import app as config_app
from pipeline.config import load_config
from pipeline.errors import ConfigError


def test_files_go_in_at_one_end_and_answers_come_out_at_the_other(s3: FakeS3, tmp_path: Path) -> None:
    url, reached = s3.url(), {"endpoint": s3.endpoint, "allow_http": True}
    write_config(
        tmp_path, redaction={"names": "off"}, worker={"processes": 0}, store={"url": url, "s3": reached}
    )
    events = [
        {
            "start_time_unix_nano": (START_MS + n) * 1_000_000,
            "agent_id": "invoice-agent",
            "environment": "production",
            "operation": "execute_tool",
            "action": "read_invoice",
        }
        for n in range(40)
    ]
    (tmp_path / "events.ndjson").write_text("\n".join(map(json.dumps, events)))
    report = json.loads(auditfuse("ingest", "--json", "events.ndjson", cwd=tmp_path).stdout.splitlines()[-1])
    assert (report["rows"], report["store"]) == (40, url)
    assert not (tmp_path / "auditfuse-data" / "store").exists()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = os.environ | {"AWS_ENDPOINT_URL": s3.endpoint, "AWS_ALLOW_HTTP": "true"}
    query = "select count(*) as n from events where agent_id = 'invoice-agent'"
    answer = auditfuse("sql", "--store", url, "--format", "json", query, cwd=elsewhere, env=environment)
    assert json.loads(answer.stdout) == [{"n": 40}]
    assert verify_store(s3.store(tmp_path, url)).holds


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://", "must be s3://bucket/prefix"),
        ("s3://b/..", "must be s3://bucket/prefix"),
        ("gs://bucket/prefix", "must be s3://bucket/prefix"),
        ("s3://key:secret@bucket/prefix", "must be s3://bucket/prefix"),
        ("s3://bucket/prefix?x=secret", "must be s3://bucket/prefix"),
    ],
)
def test_a_wrong_url_is_told_but_not_repeated(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        load_config(store=url)
    assert "secret" not in str(raised.value)


def test_a_configured_url_gives_way_to_the_command_lines_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path, store={"url": "s3://bucket/prefix/"})
    assert load_config().store.url == "s3://bucket/prefix"
    assert load_config(store=tmp_path / "mine").store.url is None
    assert load_config(store="s3://other/place").store.url == "s3://other/place"


def test_keys_may_not_lie_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = {"url": "s3://bucket/prefix"}
    write_config(tmp_path, store=store)
    place = load_config().store.local_directory
    assert place.parent == Path("auditfuse-data/cache")
    write_config(tmp_path, store=store, keys={"path": str(place / "keys")})
    with pytest.raises(ConfigError, match="keys must be kept outside it"):
        load_config()


def test_the_check_of_a_configuration_says_what_a_bucket_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path, store={"url": "s3://bucket/prefix"})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    done = CliRunner().invoke(config_app, ["check"], catch_exceptions=False)
    assert done.exit_code == 0
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "pipeline.audit.objects.s3", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'auditfuse\[s3\]'"):
        CliRunner().invoke(config_app, ["check"], catch_exceptions=False)
    write_config(tmp_path, store={"url": "s3://Bucket/prefix", "s3": {"endpoint": "http://me:secret@host"}})
    with pytest.raises(ConfigError) as raised:
        CliRunner().invoke(config_app, ["check"], catch_exceptions=False)
    assert "store.url: must be s3://bucket/prefix" in str(raised.value)
    assert "store.s3.endpoint: must be http(s)://host[:port]" in str(raised.value)
    assert "secret" not in str(raised.value)
