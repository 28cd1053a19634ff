"""Detectors: signals in, findings out. Pure: no I/O, no clock."""
