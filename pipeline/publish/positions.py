"""How far each partition is published."""

from sqlalchemy import Connection, delete, insert, select

from pipeline.respond.state import StateDatabase
from pipeline.respond.tables import published

PartitionKey = tuple[str, int]
"""(topic id, partition)."""


class Positions:
    """How far each partition is published to one output topic. Blocking; raises StateUnavailable."""

    def __init__(self, state: StateDatabase, output: str) -> None:
        self._state = state
        self._output = output

    def load(self) -> dict[PartitionKey, int]:
        """The ends by (topic id, partition); none for a topic that was never published to."""

        def look(connection: Connection) -> dict[PartitionKey, int]:
            query = select(published).where(published.c.output == self._output)
            return {(row.topic_id, row.partition): row.end for row in connection.execute(query)}

        self._state.create_schema()
        return self._state.read(look)

    def save(self, key: PartitionKey, end: int) -> None:
        """Remember an end."""
        place = {"output": self._output, "topic_id": key[0], "partition": key[1]}

        def replace(connection: Connection) -> None:
            connection.execute(delete(published).filter_by(**place))
            connection.execute(insert(published).values(**place, end=end))

        self._state.write(replace)
