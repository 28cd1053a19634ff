"""The evidence bundle of an incident: one archive for the post-mortem."""
