"""Names and places by a small model of our own: NumPy at run time, trained by `training/`."""
