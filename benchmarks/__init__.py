"""Measurements: `make bench-NAME` for speed, `make eval-NAME` for quality."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # one core, as in a process of the pool; read as NumPy loads
