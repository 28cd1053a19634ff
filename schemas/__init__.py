"""Contracts that every stage shares: what an event, a record, a signal, a finding, … is. No I/O."""
