"""The audit store: row chain, segments, partition logs, and what is built on them."""
