"""Local topics in a temporary directory, as the contract suite needs them."""

import shutil
from pathlib import Path
from typing import Any

from pipeline.clock import NowMs, system_now_ms
from pipeline.keys import Keys
from pipeline.topics.local import LocalConsumer, LocalProducer, LocalTopicsConfig


class LocalTopics:
    """Topics below one directory, with one set of keys."""

    kind = "local"

    def __init__(self, directory: Path, **options: Any) -> None:
        self.directory = directory / "topics"
        self.keys = Keys(directory / "keys")
        self._options = options
        self._partitions: dict[str, int] = {}

    def config(self, name: str) -> LocalTopicsConfig:
        partitions = self._partitions.get(name, 1)
        return LocalTopicsConfig.model_validate(
            {"path": self.directory, "partitions": partitions, **self._options}
        )

    async def create(self, name: str, partitions: int = 1) -> None:
        self._partitions[name] = partitions

    async def recreate(self, name: str, partitions: int = 1) -> None:
        shutil.rmtree(self.directory / name)
        self._partitions[name] = partitions

    def producer(self, name: str, now_ms: NowMs = system_now_ms) -> LocalProducer:
        return LocalProducer(self.config(name), name, self.keys, now_ms)

    def consumer(self, name: str) -> LocalConsumer:
        return LocalConsumer(self.config(name), name, self.keys)

    def files(self, name: str, partition: int = 0) -> list[Path]:
        return sorted((self.directory / name / str(partition)).glob("*.frames"))
