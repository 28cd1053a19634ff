"""Replay: what the detectors would have found, from the audit store alone."""
