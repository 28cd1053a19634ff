"""Whether everything that auditfuse rests on is well: one file an area, each a list of named checks."""
