"""Measurements: `make bench-NAME` for speed, `make eval-NAME` for quality."""
