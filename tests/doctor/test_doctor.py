"""`auditfuse doctor`: each thing that can be wrong is named, with what to do, and nothing is changed."""

import asyncio
import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.audit import TOPIC_ID, claim, event_rows, seal_batches
from support.broker import TestBroker
from support.produce import create_topic, unique
from support.running import auditfuse, free_port, write_config

from pipeline.audit.store import Store
from pipeline.config import Config, load_config
from pipeline.doctor import audit, machine, people, redaction, topics
from pipeline.doctor.examine import examine
from pipeline.doctor.model import Area, CheckResult, well
from pipeline.errors import ConfigError


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    return load_config(write_config(tmp_path, data_dir=str(tmp_path), killswitch={"port": free_port()}))


def by_check(results: Iterator[CheckResult]) -> dict[str, CheckResult]:
    return {result.check: result for result in results}


def test_a_new_folder_is_looked_at_and_left_as_it_is(tmp_path: Path) -> None:
    write_config(tmp_path, killswitch={"port": free_port()})
    done = auditfuse("doctor", "--json", cwd=tmp_path, check=False)
    report = json.loads(done.stdout)
    states = {check["check"]: check["state"] for check in report["checks"]}
    assert done.returncode == 1 and not report["well"]
    assert states["control server"] == "fails"  # nothing runs
    assert {states[name] for name in ("store", "keys", "state database", "targets")} == {"warning"}
    assert [path.name for path in tmp_path.iterdir()] == ["auditfuse.toml"]
    assert all(check["remedy"] for check in report["checks"] if check["state"] != "well")


def test_topics_are_told_apart_by_their_settings(kafka: TestBroker, tmp_path: Path) -> None:
    good, stamped, compacted, short = (unique(f"doctor-{n}") for n in range(4))
    missing = unique("doctor-missing")
    settings: Mapping[str, dict[str, str]] = {
        good: {},
        stamped: {"message_timestamp_type": "CreateTime"},
        compacted: {"cleanup_policy": "compact"},
        short: {"retention_ms": "3600000"},
    }
    for name, chosen in settings.items():
        asyncio.run(create_topic(kafka.bootstrap, name, 1, **chosen))
    sources = [
        {"name": name, "topic": name, "kind": "kafka", "format": "events"} for name in (*settings, missing)
    ]
    trusted = {"agents": ["*"], "environments": ["*"]}
    path = write_config(
        tmp_path,
        kafka={"bootstrap_servers": kafka.bootstrap},
        sources=[source | trusted for source in sources],
    )
    found = by_check(topics.kafka_topics(load_config(path)))
    assert found["kafka"].state == "well"
    assert found[f"topic {good}"].state == "well"
    assert "trip nothing" in found[f"topic {stamped}"].says
    assert found[f"topic {compacted}"].state == "fails"
    assert "retention.ms is 3600000" in found[f"topic {short}"].says
    assert found[f"topic {missing}"].state == "fails"


def test_a_broker_that_is_away_is_named(tmp_path: Path) -> None:
    path = write_config(
        tmp_path,
        kafka={"bootstrap_servers": f"127.0.0.1:{free_port()}"},
        sources=[
            {
                "name": "a",
                "topic": "a",
                "kind": "kafka",
                "format": "events",
                "agents": ["*"],
                "environments": ["*"],
            }
        ],
    )
    (result,) = examine({"kafka": lambda: topics.kafka_topics(load_config(path))})
    assert (
        result.state == "fails" and "does not answer" in result.says and "bootstrap_servers" in result.remedy
    )


def test_a_halted_partition_is_named_with_its_way_out(config: Config) -> None:
    writer = claim(Store(config.store.path))
    seal_batches(writer, [event_rows(0, 3)])
    writer.halt("offset 3 is not held", 3)
    found = by_check(audit.audit_store(config, lambda: 0))
    halted = found[f"partition {TOPIC_ID}/0"]
    assert (
        halted.state == "fails" and "offset 3 is not held" in halted.says and "auditfuse gap" in halted.remedy
    )
    assert found["checkpoint"].state == "warning"


def test_keys_that_others_may_read_are_named(config: Config) -> None:
    directory = config.keys.path
    directory.mkdir(mode=0o700)
    key = directory / "pseudonym-k1.key"
    key.write_text("00" * 32)
    key.chmod(0o600)
    assert by_check(audit.key_files(config))["keys"].state == "well"
    key.chmod(0o640)
    exposed = by_check(audit.key_files(config))["keys"]
    assert exposed.state == "fails" and str(key) in exposed.remedy


@pytest.mark.parametrize(("free", "state"), [(0.5, "well"), (0.04, "warning"), (0.001, "fails")])
def test_room_is_judged_by_its_share(
    config: Config, monkeypatch: pytest.MonkeyPatch, free: float, state: str
) -> None:
    total = 40 * 1024**3
    usage = shutil._ntuple_diskusage(total, int(total * (1 - free)), int(total * free))
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: usage)
    assert by_check(machine.disks(config))["disk of the store"].state == state


@pytest.mark.parametrize(("kernel", "state"), [(True, "well"), (False, "warning"), (None, "warning")])
def test_a_clock_that_nothing_keeps_right_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, kernel: bool | None, state: str
) -> None:
    assert machine.clock_is_synchronised() in {True, False, None}  # the real call works here
    monkeypatch.setattr(machine, "clock_is_synchronised", lambda: kernel)
    assert by_check(machine.clock())["clock"].state == state


def test_redaction_that_is_off_or_blind_to_names_is_told(config: Config) -> None:
    def with_rules(**changes: Any) -> CheckResult:
        rules = config.redaction.model_copy(update=changes)
        (result,) = redaction.redaction(config.model_copy(update={"redaction": rules}))
        return result

    assert with_rules().state == "well"
    assert with_rules(enabled=False).state == "fails"
    blind = with_rules(names="off")
    assert blind.state == "warning" and "a name of a sample sentence" in blind.says


def test_a_target_without_its_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK_URL", raising=False)
    path = write_config(tmp_path, respond={"targets": [{"name": "hook", "url_env": "HOOK_URL"}]})
    found = by_check(people.page_targets(load_config(path)))
    assert found["target hook"].state == "fails" and "HOOK_URL" in found["target hook"].says


def test_an_area_that_hangs_or_breaks_hides_no_other() -> None:
    release = threading.Event()

    def hangs() -> Iterator[CheckResult]:
        release.wait(30)
        yield well("never", "")

    def breaks() -> Iterator[CheckResult]:
        yield well("first", "seen")
        raise ConfigError("the file is wrong; write it anew")

    def leaks() -> Iterator[CheckResult]:
        raise RuntimeError("4539 1488 0343 6467")
        yield

    areas: dict[str, Area] = {"hangs": hangs, "breaks": breaks, "leaks": leaks}
    results = list(examine(areas, limit_s=0.5))
    release.set()
    assert [(one.check, one.state) for one in results] == [
        ("hangs", "fails"),
        ("first", "well"),
        ("breaks", "fails"),
        ("leaks", "fails"),
    ]
    assert results[2].says == "the file is wrong" and results[2].remedy == "write it anew"
    assert "4539" not in results[3].says
