"""Checkpoints: signed statements of the log's size and root, and copies of them outside the store."""
