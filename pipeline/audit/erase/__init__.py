"""Erasure: data leaves the store, the chain over it stays.

scope/values → match (which rows) → rewrite (a segment without them) → partition (entry, old file gone)
holds, in_force: what must stay    reach: everything that is no segment    run: the whole, in order
"""
