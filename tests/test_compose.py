"""docker-compose.yml, known to work where no Docker is: its schema, its broker's settings, and its auditfuse
commands with their environment, run as local processes against the test broker."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.broker import TestBroker, broker_script, produce

from pipeline.config import load_config

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "docker-compose.yml"
IMAGE_DATA = "/var/lib/auditfuse"


def compose() -> dict[str, Any]:
    """The file with its ${NAME:-default} replaced by the defaults."""
    return yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", COMPOSE.read_text()))


def test_the_file_fits_the_compose_schema():
    checker = Path(sys.executable).with_name("check-jsonschema")
    command = [checker, "--builtin-schema", "vendor.compose-spec", COMPOSE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_published_beyond_this_machine():
    for name, service in compose()["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), (name, port)


def test_store_keys_and_journal_are_volumes_of_their_own():
    content = compose()
    mounts = dict(reversed(mount.split(":")[:2]) for mount in content["services"]["auditfuse"]["volumes"])
    environment = content["services"]["auditfuse"]["environment"]
    places = [environment[f"AUDITFUSE_{key}"] for key in ("STORE__PATH", "KEYS__PATH", "KILLSWITCH__JOURNAL")]
    assert len({mounts[place] for place in places}) == 3
    assert {mounts[place] for place in places} <= set(content["volumes"])
    dockerfile = (ROOT / "Dockerfile").read_text()
    for place in mounts:
        # A volume takes its owner from the image's directory: without one it would be root's.
        assert not place.startswith(IMAGE_DATA) or place in dockerfile


def test_the_small_set_is_the_default():
    services = compose()["services"]
    assert {name for name, service in services.items() if "profiles" not in service} == {"kafka", "auditfuse"}
    assert {"postgres", "prometheus", "grafana"} <= set(services)


def test_what_is_mounted_is_there():
    for name, service in compose()["services"].items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in compose()["volumes"], (
                name
            )


def test_prometheus_asks_auditfuse_and_grafana_asks_prometheus():
    services = compose()["services"]
    asked = yaml.safe_load((ROOT / "scripts" / "compose" / "prometheus.yml").read_text())
    (job,) = asked["scrape_configs"]
    port = services["auditfuse"]["environment"]["AUDITFUSE_KILLSWITCH__PORT"]
    assert job["static_configs"] == [{"targets": [f"127.0.0.1:{port}"]}]
    assert services["prometheus"]["network_mode"] == "service:auditfuse"
    rules = ROOT / "docs" / "operations" / "alerts.yaml"
    assert f'up{{job="{job["job_name"]}"}}' in rules.read_text()
    mounted = dict(mount.split(":")[:2][::-1] for mount in services["prometheus"]["volumes"])
    assert (ROOT / mounted[asked["rule_files"][0]]).samefile(rules)
    folder = ROOT / "scripts" / "compose" / "grafana"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == (
        "prometheus",
        "http://auditfuse:9090",
        True,
    )
    (provider,) = yaml.safe_load((folder / "dashboards" / "auditfuse.yaml").read_text())["providers"]
    boards = [mount.split(":")[1] for mount in services["grafana"]["volumes"]]
    assert any(board.startswith(provider["options"]["path"] + "/") for board in boards)


def test_the_broker_has_the_settings_of_make_kafka():
    environment = compose()["services"]["kafka"]["environment"]
    settings = {"KAFKA_" + key.upper().replace(".", "_"): v for key, v in broker_script().SETTINGS.items()}
    own = {key for key in settings if "LISTENER" in key}
    shared = [key for key in settings if key in environment and key not in own]
    assert len(shared) >= 10
    assert {key: environment[key] for key in shared} == {key: settings[key] for key in shared}


def test_the_dockerfile_installs_only_what_is_locked():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    installs = [line for line in lines if "pip install" in line]
    assert installs
    assert all("--require-hashes" in line or "--no-deps --no-build-isolation" in line for line in installs)
    assert "USER auditfuse" in lines


class LocalService:
    """A service of the compose file as a process: the same command and environment, with the image's
    directories, the broker's address and the port replaced by this machine's."""

    def __init__(self, directory: Path, broker: TestBroker) -> None:
        service = compose()["services"]["auditfuse"]
        sources = [mount.split(":")[:2] for mount in service["volumes"]]
        self.port = broker_script().free_port()
        replaced = {place: str(ROOT / source) for source, place in sources if source.startswith(".")}
        replaced |= {IMAGE_DATA: str(directory), "kafka:29092": broker.bootstrap, "8420": str(self.port)}
        self.environment = {key: _replace(str(v), replaced) for key, v in service["environment"].items()}
        self.command = [_replace(word, replaced) for word in service["command"]]
        self.check = [_replace(word, replaced) for word in service["healthcheck"]["test"][1:]]
        for _, place in sources:
            if place.startswith(IMAGE_DATA):
                Path(_replace(place, replaced)).mkdir(mode=0o700)

    def start(self, directory: Path) -> "subprocess.Popen[bytes]":
        program, *arguments = self.command
        inherited = {key: v for key, v in os.environ.items() if not key.startswith("AUDITFUSE_")}
        return subprocess.Popen(
            [Path(sys.executable).with_name(program), *arguments],
            cwd=directory,
            env={**inherited, **self.environment},
            stdout=(directory / "output").open("wb"),
            stderr=subprocess.STDOUT,
        )

    def is_healthy(self) -> bool:
        """What the compose file's own health check says."""
        command = [sys.executable, *self.check[1:]]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _replace(text: str, replaced: dict[str, str]) -> str:
    for old, new in replaced.items():
        text = text.replace(old, new)
    return text


def test_its_environment_is_a_good_configuration(tmp_path, monkeypatch):
    service = LocalService(tmp_path, TestBroker("127.0.0.1:9092", True))
    for key, value in service.environment.items():
        monkeypatch.setenv(key, value)
    config = load_config()
    toml = tomllib.loads((ROOT / "scripts" / "compose" / "auditfuse.toml").read_text())
    assert [s.name for s in config.sources] == [s["name"] for s in toml["sources"]]
    assert config.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert config.store.path == tmp_path / "store"


@pytest.mark.kafka_apache
async def test_its_commands_run_with_their_environment(tmp_path, kafka):
    service = LocalService(tmp_path, kafka)
    process = service.start(tmp_path)
    try:
        for _ in range(600):
            assert process.poll() is None, (tmp_path / "output").read_text()[-3000:]
            if service.is_healthy():
                break
        assert service.is_healthy(), (tmp_path / "output").read_text()[-3000:]
        await produce(kafka.bootstrap, "agent_events", [b"not an event"], partition=0)
        segments = tmp_path / "store" / "segments"
        for _ in range(300):
            if any(path.parts[-3].startswith("agent_events.") for path in segments.rglob("*.parquet")):
                break
            assert service.is_healthy()
        assert any(path.parts[-3].startswith("agent_events.") for path in segments.rglob("*.parquet"))
        process.terminate()
        assert process.wait(60) == 0, (tmp_path / "output").read_text()[-3000:]
    finally:
        process.kill()
        process.wait()
