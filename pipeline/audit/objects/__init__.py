"""What the store asks of storage: a few operations on keys, over a directory or an object store."""
