"""What finds values: Presidio's registry, run fast and bounded."""
