"""Actuators: what else a trip does beside the flags, each with acknowledgement and retry."""
