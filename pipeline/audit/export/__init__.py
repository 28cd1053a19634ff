"""Exports: a folder that an auditor checks alone: the rows of an interval and all that proves them."""
