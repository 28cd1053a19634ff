"""How the tagger is trained: samples, the same model in JAX, its export and its figures."""
