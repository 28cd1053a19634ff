"""The configuration: every mistake is named by file, key and reason, and nothing secret is repeated."""

from pathlib import Path

import pytest
from support.running import auditfuse

from pipeline.config import load_config
from pipeline.errors import ConfigError

SOURCE = """
[[sources]]
name = "agents"
topic = "agent-events"
kind = "local"
format = "events"
agents = ["*"]
environments = ["prod"]
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str) -> Path:
    path = Path("auditfuse.toml")
    path.write_text(text)
    return path


def test_without_a_file_everything_lies_in_one_folder_each_part_in_its_own() -> None:
    config = load_config()
    assert config.store.path == Path("auditfuse-data/store")
    assert config.keys.path == Path("auditfuse-data/keys")
    assert config.killswitch.journal == Path("auditfuse-data/journal")
    assert config.topics.path == Path("auditfuse-data/topics")


def test_a_store_of_the_command_line_brings_its_own_folder(tmp_path: Path) -> None:
    config = load_config(store=tmp_path / "mine")
    assert config.store.path == tmp_path / "mine"
    assert config.keys.path == tmp_path / "mine-data" / "keys"


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[kafka]\nbootstrap_servers = "file:9092"\nclient_id = "kept"\n')
    monkeypatch.setenv("AUDITFUSE_KAFKA__BOOTSTRAP_SERVERS", "environment:9092")
    config = load_config()
    assert config.kafka.bootstrap_servers == "environment:9092"
    assert config.kafka.client_id == "kept"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[stor]\n", "auditfuse.toml: stor: there is no such option"),
        ("[store]\npaht = 'x'\n", "auditfuse.toml: store.paht: there is no such option"),
        ("[worker]\nprocesses = 'many'\n", "auditfuse.toml: worker.processes: "),
        ("store = 3\n", "auditfuse.toml: store: "),
        ("[store\n", "auditfuse.toml is not TOML"),
        (SOURCE.replace('agents = ["*"]', ""), "auditfuse.toml: sources.0.agents: Field required"),
        (SOURCE + SOURCE, "two sources have the name 'agents'"),
        ("[keys]\npath = 'auditfuse-data/store/keys'\n", "keys must be kept outside it"),
        ("[killswitch]\njournal = 'auditfuse-data/store/j'\n", "killswitch.journal lies in the store"),
        (
            SOURCE.replace('"local"', '"kafka"') + "[killswitch]\ntopic = 'agent-events'\n",
            "killswitch.topic 'agent-events' is a source's topic",
        ),
        (
            "[dead_letters]\ntopic = 'x'\n[killswitch]\ntopic = 'x'\n",
            "killswitch.topic 'x' is dead_letters.topic; it needs its own",
        ),
    ],
)
def test_a_mistake_is_told_by_file_key_and_reason(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(write(text))
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://me@audit.example.com", "public_url must have no user, query or fragment"),
        ("https://audit.example.com/?x=1", "public_url must have no user, query or fragment"),
        ("audit.example.com", "public_url must be https://HOST"),
    ],
)
def test_the_address_in_every_page_is_checked(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=f"respond.public_url: {told}"):
        load_config(write(f"[respond]\npublic_url = '{url}'\n"))


def test_the_command_refuses_what_it_reads() -> None:
    write("[respond]\npublic_url = 'http://audit.example.com'\n")
    done = auditfuse("config", "check", "--config", "auditfuse.toml", cwd=Path.cwd(), check=False)
    assert done.returncode == 2
    told = "auditfuse.toml: respond.public_url: public_url is plain http to audit.example.com"
    assert told in done.stderr


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(write("[store]\nx = 1\n[worker]\ny = 2\n"))
    assert len(str(raised.value).splitlines()) == 2


def test_a_wrong_secret_is_never_repeated() -> None:
    secret = "hunter2-" + "correct-horse"
    with pytest.raises(ConfigError) as raised:
        load_config(write(f"[kafka]\nsasl_password = ['{secret}']\n[killswitch]\nport = '{secret}'\n"))
    assert secret not in str(raised.value)


def test_a_named_file_that_is_missing_is_told() -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(Path("elsewhere.toml"))
