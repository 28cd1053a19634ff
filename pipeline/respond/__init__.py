"""From findings to people: incidents, the outbox, pages."""
