"""The configuration: one TOML file, environment variables over it, everything checked at the start.

Each section's class stands beside the code that it configures; this file only puts them together.
An environment variable such as AUDITFUSE_KAFKA__BOOTSTRAP_SERVERS overrides `[kafka] bootstrap_servers`.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from detectors.policy import Policy
from pipeline.audit.checkpoint.config import CheckpointConfig
from pipeline.audit.erase.config import ErasureConfig, RetentionRule
from pipeline.audit.erase.thin_config import ThinningConfig
from pipeline.audit.objects.s3_config import cache_name, is_url
from pipeline.audit.readers.config import ReadersConfig
from pipeline.audit.store import StoreConfig
from pipeline.decode.action_kind import ToolPatterns
from pipeline.decode.sources import SourceConfig
from pipeline.detect.config import DetectConfig
from pipeline.errors import ConfigError
from pipeline.keys import KeysConfig
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.logs import LogConfig
from pipeline.publish.config import DeadLettersConfig, RedactedConfig
from pipeline.receive.config import ReceiverConfig
from pipeline.redact.config import RedactionConfig
from pipeline.respond.config import RespondConfig, StateConfig
from pipeline.signals_topic.config import SignalsConfig
from pipeline.topics.kafka_config import KafkaConfig
from pipeline.topics.local_files import LocalTopicsConfig
from pipeline.worker_config import WorkerConfig

DEFAULT_FILE = Path("auditfuse.toml")
DEFAULT_DATA_DIR = Path("auditfuse-data")
FILE_VARIABLE = "AUDITFUSE_CONFIG"


class Config(BaseSettings):
    """Everything that can be configured. Paths are relative to the working directory."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="AUDITFUSE_", env_nested_delimiter="__"
    )

    store: StoreConfig = StoreConfig()
    readers: ReadersConfig = ReadersConfig()
    keys: KeysConfig = KeysConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    erasure: ErasureConfig = ErasureConfig()
    retention: tuple[RetentionRule, ...] = ()
    thinning: ThinningConfig = ThinningConfig()
    state: StateConfig = StateConfig()
    kafka: KafkaConfig = KafkaConfig()
    topics: LocalTopicsConfig = LocalTopicsConfig()
    sources: tuple[SourceConfig, ...] = ()
    tools: ToolPatterns = ToolPatterns()
    worker: WorkerConfig = WorkerConfig()
    redaction: RedactionConfig = RedactionConfig()
    dead_letters: DeadLettersConfig = DeadLettersConfig()
    redacted: RedactedConfig = RedactedConfig()
    detect: DetectConfig = DetectConfig()
    respond: RespondConfig = RespondConfig()
    signals: SignalsConfig = SignalsConfig()
    killswitch: KillSwitchConfig = KillSwitchConfig()
    http: ReceiverConfig = ReceiverConfig()
    log: LogConfig = LogConfig()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (the library's signature)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for attribute in ("name", "topic"):
            values = [(source.kind == "kafka", getattr(source, attribute)) for source in self.sources]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"two sources have the {attribute} {twice[0][1]!r}; each needs its own")
        self._require_own_topics()
        store, keys = self.store.local_directory.absolute(), self.keys.path.absolute()
        if keys.is_relative_to(store):
            raise ValueError(f"keys.path {keys} lies in the store; keys must be kept outside it")
        self.checkpoint.require_outside(store)
        if self.redacted.topic and self.redacted.max_message_bytes > self.kafka.max_request_bytes:
            raise ValueError("redacted.max_message_bytes must not exceed kafka.max_request_bytes")
        if self.killswitch.journal.absolute().is_relative_to(store):
            raise ValueError("killswitch.journal lies in the store; a trip must survive the store's loss")
        readers = self.readers.path.absolute() if self.readers.path else None
        if readers and (readers.is_relative_to(store) or store.is_relative_to(readers)):
            raise ValueError(f"readers.path {readers} and the store overlap; the copy needs its own place")
        return self

    def _require_own_topics(self) -> None:
        """What is written must not be read as events, nor two things be written into one topic."""
        users = {(source.kind == "kafka", source.topic): "a source's topic" for source in self.sources}
        written = {
            "dead_letters.topic": (self.dead_letters.kind == "kafka", self.dead_letters.topic),
            "redacted.topic": (self.redacted.kind == "kafka", self.redacted.topic),
            "killswitch.topic": (True, self.killswitch.topic),
            "signals.topic": (True, self.signals.topic),
            **{
                f"checkpoint.anchors.{number}.topic": (True, anchor.topic)
                for number, anchor in enumerate(self.checkpoint.anchors)
                if anchor.kind == "kafka"
            },
        }
        for option, (is_kafka, topic) in written.items():
            if topic is None:
                continue
            if other := users.get((is_kafka, topic)):
                raise ValueError(f"{option} {topic!r} is {other}; it needs its own")
            users[is_kafka, topic] = option


def load_config(path: Path | None = None, *, store: str | Path | None = None) -> Config:
    """Read the configuration. `store` is the command line's `--store`, a directory or a URL, which wins over
    everything.

    Without `path`: the file that AUDITFUSE_CONFIG names, else ./auditfuse.toml if it is there, else
    the defaults. Raises ConfigError that names file, key and reason of every mistake.
    """
    named = path or (Path(os.environ[FILE_VARIABLE]) if os.environ.get(FILE_VARIABLE) else None)
    file = named or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    settings = _read_toml(file) if file is not None else {}
    _place_defaults(settings, store)
    try:
        loaded = _load(settings, store)
    except ValidationError as error:
        raise ConfigError(_explain(file, error)) from None
    except SettingsError as error:
        raise ConfigError(f"environment: {error}; write lists and tables as JSON") from None
    return _with_policy(loaded)


def _load(settings: dict[str, Any], store: str | Path | None) -> Config:
    if store is None:
        return Config(**settings)

    class ConfigOfStore(Config):
        """The command line's store before the environment's."""

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *args: Any, **sources: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            place = {"url": store} if is_url(store) else {"path": store, "url": None}
            first = InitSettingsSource(settings_cls, {"store": place})
            return first, *super().settings_customise_sources(settings_cls, *args, **sources)

    checked = ConfigOfStore(**settings)
    # Of the class that other processes know: it travels to them.
    return Config.model_construct(**{name: getattr(checked, name) for name in Config.model_fields})


def _with_policy(config: Config) -> Config:
    """The configuration with the rules of its policy file, so that their content is a part of it."""
    file = config.detect.policy_file
    if file is None:
        return config
    if config.detect.policy != Policy():
        raise ConfigError("detect: the policy is in policy_file or in [detect.policy], not in both")
    try:
        policy = Policy.model_validate(_read_toml(file))
    except ValidationError as error:
        raise ConfigError(_explain(file, error)) from None
    detect = config.detect.model_copy(update={"policy": policy})
    return config.model_copy(update={"detect": detect})


def _place_defaults(settings: dict[str, Any], store: str | Path | None) -> None:
    """Everything that is not placed elsewhere goes into one directory, each part in a folder of its own."""
    root = Path(settings.pop("data_dir", DEFAULT_DATA_DIR))
    if is_url(store):
        root /= cache_name(str(store))
    elif store is not None:
        root = Path(store).with_name(Path(store).name + "-data")
    places = {
        ("store", "path"): root / "store",
        ("store", "cache"): root / "cache",
        ("keys", "path"): root / "keys",
        ("checkpoint", "state"): root / "checkpoint",
        ("topics", "path"): root / "topics",
        ("killswitch", "journal"): root / "journal",
        ("state", "url"): f"sqlite:///{root / 'state.db'}",
    }
    for (section, key), value in places.items():
        table = settings.setdefault(section, {})
        if isinstance(table, dict):
            table.setdefault(key, value)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"configuration file {path} does not exist; create it or name another") from None
    except OSError as error:
        raise ConfigError(f"configuration file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration file {path} is not TOML: {error}") from None


def _explain(file: Path | None, error: ValidationError) -> str:
    """One line a mistake: file, key, reason. Never the value, which may be a secret."""
    where = str(file) if file is not None else "configuration"
    lines: list[str] = []
    for mistake in error.errors(include_input=False, include_url=False):
        key = ".".join(str(part) for part in mistake["loc"]) or "as a whole"
        reason = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            reason = "there is no such option"
        lines.append(f"{where}: {key}: {reason}")
    return "\n".join(lines)
