"""Topics that are published from sealed rows, and from nothing else: dead letters, the redacted stream.

So they say no more than the store does. At least once: how far a partition is published is kept in the state
database after the broker has acknowledged; each message tells the row's identity, for whoever must not count
a row twice.
"""
