"""What analysts query: views over the live files, macros for the usual questions, comments on everything.

One module a subject, put together in `template.py`. `docs/schema.md` is generated from them, and
`docs/queries.md` says how to start.
"""
