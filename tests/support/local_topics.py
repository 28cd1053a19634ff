"""Appending to local topics and reading them in one call."""

from support.broker import Reader


async def append(topics, name, *batches, now_ms=lambda: 1_000, **options):
    """Append each batch by one producer; where its messages are."""
    producer = topics.producer(name, now_ms)
    await producer.start()
    try:
        return [await producer.append(batch, partition=0, **options) for batch in batches]
    finally:
        await producer.stop()


async def read(topics, name, count, offset=0):
    """So many messages from an offset."""
    async with Reader(topics.consumer(name), {0: offset}) as reader:
        return await reader.until(count, polls=20)


async def read_all(topics, name):
    """Everything up to the end that the files show."""
    async with Reader(topics.consumer(name)) as reader:
        end = (await reader.consumer.bounds([0]))[0].high_watermark
        return [m.value for m in await reader.until(end, polls=20)]
