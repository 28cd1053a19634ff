"""Topics: append messages, read a partition from an offset. Kafka and a durable local directory."""
