"""The kill switch of auditfuse, asked from inside an agent."""
