"""Redaction: what is personal or secret becomes a keyed pseudonym before anything is stored."""
