"""Proofs that rows stand in the audit trail: made from the store, checked without it."""
