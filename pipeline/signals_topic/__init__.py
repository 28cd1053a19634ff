"""The signals topic: sealed rows, without payload, on their way to detection on other hosts."""
