"""What is needed to train the name tagger; no part of the installed product."""
