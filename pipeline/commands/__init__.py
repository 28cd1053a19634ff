"""The command line's verbs, one module each; `pipeline/cli.py` registers them."""
