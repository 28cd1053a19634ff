"""Our own recognizers: secrets and personal values that stock Presidio does not know."""
