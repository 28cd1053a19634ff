"""Dead letters read again: by today's configuration, into a partition of their own."""
