"""A seeded generator of agent traffic, with faults by schedule and the ground truth beside it.

The demo, the tests and the benchmarks use it; `auditfuse generate` offers it to everyone.
"""
